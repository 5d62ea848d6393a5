// The senders' Node libraries, for a program in another language: what do they sign, and what do they take for genuine?
// Reads `{"call": NAME, "with": {…}}` a line from stdin and answers each, in order, with a line on stdout:
// `{"is": …}` or `{"error": TEXT}`. Bytes go by base64, under names that end in `64`. Nothing else is ever printed there.
import { createInterface } from "node:readline";
import { libraries } from "./libraries.mjs";

// Some of them talk about what they do; stdout is for answers.
for (const level of ["debug", "info", "log", "warn", "error"]) console[level] = () => {};

function decoded(given) {
  const entries = Object.entries(given).map(([name, value]) =>
    name.endsWith("64") ? [name.slice(0, -2), Buffer.from(value, "base64")] : [name, value],
  );
  return Object.fromEntries(entries);
}

async function answer(line) {
  try {
    const { call, with: given } = JSON.parse(line);
    return { is: await libraries[call](decoded(given)) };
  } catch (error) {
    return { error: String(error?.message ?? error) };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(JSON.stringify(await answer(line)) + "\n");
}
