// Validates documents against a schema with ajv (draft-07, strict).
//
// node validate.mjs SCHEMA: reads a line of JSON per text from standard input, `{"text": …}` with YAML. Writes a line per
// text: `true`, `false`, or `null` for a text that is no YAML.

import { readFileSync } from "node:fs";
import Ajv from "ajv";
import { parse } from "yaml";

const [, , path] = process.argv;
const ajv = new Ajv({
  strict: true,
  // Our `required` stands beside `properties`, in another branch of `allOf`.
  strictRequired: false,
  allowUnionTypes: true,
  allowMatchingProperties: true,
});
// Markdown for editors: an annotation of VS Code that JSON Schema does not define.
ajv.addKeyword({ keyword: "markdownDescription", schemaType: "string" });
const validate = ajv.compile(JSON.parse(readFileSync(path, "utf8")));

for (const line of readFileSync(0, "utf8").split("\n").filter((line) => line !== "")) {
  let document;
  try {
    document = parse(JSON.parse(line).text, { merge: true, maxAliasCount: -1, logLevel: "silent" });
  } catch {
    console.log("null");
    continue;
  }
  console.log(JSON.stringify(validate(document)));
}
