// What each of the senders' Node libraries is asked, by name. A `sign` gives what the sender would send; a `verify`
// says whether the library takes it for genuine, and may throw where it does not. `body` is a Buffer; where a library
// wants text it gets the text that these bytes are.
import { createRequire } from "node:module";
import { hmacValidator } from "@adyen/api-library";
import { Signature } from "@hubspot/api-client";
import { validateSignature } from "@line/bot-sdk";
import { LinearWebhookClient } from "@linear/sdk/webhooks";
import { signWebhookPayload, verifyWebhookSignature } from "@notionhq/client";
import * as octokit from "@octokit/webhooks-methods";
import { Paddle } from "@paddle/paddle-node-sdk";
import { EventWebhook } from "@sendgrid/eventwebhook";
import "@shopify/shopify-api/adapters/web-api";
import { ApiVersion, shopifyApi } from "@shopify/shopify-api";
import { AwsLambdaReceiver } from "@zoom/rivet/chatbot";
import { verifyKey } from "discord-interactions";
import twilio from "twilio";

const examples = createRequire(import.meta.url)("@octokit/webhooks-examples/api.github.com/index.json");
const text = (body) => body.toString("utf8");
const adyen = new hmacValidator();
const paddle = new Paddle("the API is not called");

// Only its webhooks are used; the rest it wants to know is made up.
const shopify = (secret) =>
  shopifyApi({
    apiKey: "none",
    apiSecretKey: secret,
    apiVersion: ApiVersion.July26,
    hostName: "shop.invalid",
    isEmbeddedApp: false,
  });

// Several versions sign differently; its v3 is the one with a timestamp.
const hubspot = ({ secret, method, url, body, timestamp }) => ({
  clientSecret: secret,
  method,
  url,
  requestBody: text(body),
  timestamp,
});

const item = (body) => JSON.parse(text(body)).notificationItems[0].NotificationRequestItem;

export const libraries = {
  "octokit.examples": () =>
    examples.flatMap(({ name, examples: payloads }) =>
      payloads.map((payload, number) => ({ event: name, number, text: JSON.stringify(payload) })),
    ),
  "octokit.sign": ({ secret, body }) => octokit.sign(secret, text(body)),
  "octokit.verify": ({ secret, body, signature }) => octokit.verify(secret, text(body), signature),

  "adyen.sign": ({ secret, body }) => adyen.calculateHmac(item(body), secret),
  "adyen.verify": ({ secret, body }) => adyen.validateHMAC(item(body), secret),
  "adyen.signPlatform": ({ secret, body }) => adyen.calculateHmac(text(body), secret),
  "adyen.verifyPlatform": ({ secret, body, signature }) => adyen.validateHMACSignature(secret, signature, text(body)),

  "discord.verify": ({ secret, body, signature, timestamp }) => verifyKey(body, signature, timestamp, secret),

  "hubspot.sign": (given) => Signature.getSignature(given.method, "v3", hubspot(given)),
  "hubspot.verify": (given) =>
    Signature.isValid({ ...hubspot(given), signature: given.signature, signatureVersion: "v3" }),

  "line.verify": ({ secret, body, signature }) => validateSignature(body, secret, signature),
  "linear.verify": ({ secret, body, signature }) => new LinearWebhookClient(secret).verify(body, signature),

  "notion.sign": ({ secret, body }) => signWebhookPayload({ body: text(body), verificationToken: secret }),
  "notion.verify": ({ secret, body, signature }) =>
    verifyWebhookSignature({ body: text(body), signature, verificationToken: secret }),

  "paddle.verify": ({ secret, body, signature }) => paddle.webhooks.isSignatureValid(text(body), secret, signature),

  "sendgrid.verify": ({ secret, body, signature, timestamp }) => {
    const webhook = new EventWebhook();
    return webhook.verifySignature(webhook.convertPublicKeyToECDSA(secret), body, signature, timestamp);
  },

  "shopify.verify": async ({ secret, body, headers }) => {
    const rawRequest = new Request("https://shop.invalid/", { method: "POST", headers });
    return (await shopify(secret).webhooks.validate({ rawBody: text(body), rawRequest })).valid;
  },

  "twilio.sign": ({ secret, url, fields }) => twilio.getExpectedTwilioSignature(secret, url, fields),
  "twilio.verify": ({ secret, url, fields, signature }) => twilio.validateRequest(secret, signature, url, fields),
  "twilio.verifyBody": ({ secret, url, body, signature }) =>
    twilio.validateRequestWithBody(secret, signature, url, text(body)),

  // The way in that takes headers and body as they are. It answers 200, or 400 to what is not genuine.
  "zoom.verify": async ({ secret, body, headers }) => {
    const receiver = new AwsLambdaReceiver({ webhooksSecretToken: secret });
    receiver.init({ eventEmitter: { emit: async () => {} } });
    return (await receiver.start()({ body: text(body), headers, isBase64Encoded: false }, {})).statusCode === 200;
  },
};
