// Requests signed in Node: GitHub's by GitHub's own library over every payload of its example package; those of
// GitLab, Gitea, Forgejo, Gogs, Bitbucket and Shopify as their documents say. Reads {rule: {secret, other}} from
// stdin, prints one request a line: the bytes, the headers signed with the secret, and those signed with another.
import { createHmac } from "node:crypto";
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { sign } from "@octokit/webhooks-methods";

const examples = createRequire(import.meta.url)("@octokit/webhooks-examples/api.github.com/index.json");
const [secrets, fixtures] = [JSON.parse(readFileSync(0, "utf8")), process.argv[2]];

const mac = (algorithm, encoding) => (secret, body) => createHmac(algorithm, secret).update(body).digest(encoding);
const hex = mac("sha256", "hex");

async function print(rule, name, body, type, headers) {
  const { secret, other } = secrets[rule];
  const signed = async (key) => ({ "Content-Type": type, ...(await headers(key, body)) });
  const request = { rule, name, body: body.toString("base64"), headers: await signed(secret), forged: await signed(other) };
  process.stdout.write(JSON.stringify(request) + "\n");
}

const github = (event) => async (secret, body) => ({
  "User-Agent": "GitHub-Hookshot/044aadd",
  "X-GitHub-Event": event,
  "X-Hub-Signature-256": await sign(secret, body.toString("utf8")),
});

// Some payloads are in the package twice; the second time they would rightly be duplicates.
const seen = new Set();
for (const { name, examples: payloads } of examples) {
  for (const [number, payload] of payloads.entries()) {
    const text = JSON.stringify(payload);
    if (seen.has(text)) continue;
    seen.add(text);
    await print("github", `${name} ${number}`, Buffer.from(text), "application/json", github(name));
  }
}

const json = "application/json";
const fixture = (path) => readFileSync(`${fixtures}/${path}`);
const push = fixture("github/push.json");
await print("github", "fixture push", push, json, github("push"));

// A webhook with the content type "form": GitHub signs the form, not the JSON in it.
const form = Buffer.from(new URLSearchParams({ payload: fixture("github/ping.json").toString("utf8") }).toString());
await print("github", "ping as a form", form, "application/x-www-form-urlencoded", github("ping"));

await print("github_sha1", "push", push, json, (secret, body) => ({
  "X-GitHub-Event": "push",
  "X-Hub-Signature": "sha1=" + mac("sha1", "hex")(secret, body),
}));
await print("gitlab", "push", fixture("gitlab/push.json"), json, (secret) => ({
  "X-Gitlab-Event": "Push Hook",
  "X-Gitlab-Token": secret,
}));
for (const [rule, title] of [["gitea", "Gitea"], ["forgejo", "Forgejo"], ["gogs", "Gogs"]]) {
  await print(rule, "push", fixture("gitea/push.json"), json, (secret, body) => ({
    [`X-${title}-Event`]: "push",
    [`X-${title}-Signature`]: hex(secret, body),
  }));
}
await print("bitbucket", "push", Buffer.from('{"push":{"changes":[]},"repository":{"full_name":"acme/site"}}'), json, (secret, body) => ({
  "X-Event-Key": "repo:push",
  "X-Hub-Signature": "sha256=" + hex(secret, body),
}));
await print("shopify", "order", fixture("shopify/order.json"), json, (secret, body) => ({
  "X-Shopify-Topic": "orders/create",
  "X-Shopify-Hmac-Sha256": mac("sha256", "base64")(secret, body),
}));
