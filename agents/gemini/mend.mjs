// Before a session is continued: drop the second copy of every tool's result from its chat files.
//
// Gemini CLI 0.61 records a result twice, with the call and as a message of its own, and on --resume sends both; the
// API then refuses each request ("the number of function response parts is equal to the number of function call parts").
import { readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

const isCopy = (message) =>
  message?.type === "user" &&
  Array.isArray(message.content) &&
  message.content.length > 0 &&
  message.content.every((part) => part?.functionResponse);

function mended(line) {
  let value;
  try {
    value = JSON.parse(line);
  } catch {
    return line; // The last line of a session that was killed while it wrote.
  }
  if (isCopy(value)) return "";
  if (Array.isArray(value?.$set?.messages)) value.$set.messages = value.$set.messages.filter((one) => !isCopy(one));
  return JSON.stringify(value);
}

const root = join(homedir(), ".gemini", "tmp");
try {
  for (const name of readdirSync(root, { recursive: true })) {
    if (!/chats\/[^/]+\.jsonl$/.test(name)) continue;
    const path = join(root, name);
    const lines = readFileSync(path, "utf8").split("\n").map(mended);
    writeFileSync(`${path}.mended`, lines.filter((line) => line !== "").join("\n") + "\n");
    renameSync(`${path}.mended`, path);
  }
} catch (error) {
  console.error(`The chat files could not be mended: ${error.message}`);
}
