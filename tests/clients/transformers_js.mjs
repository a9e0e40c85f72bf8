// Answers requests as a user of transformers.js would have them answered: [folder, task, input, dtype] as a line of JSON each, and
// {"found": …} or {"error": …} for each. Models are found below the folder that is the first argument, and nowhere else.
import { createInterface } from "node:readline";
import * as transformers from "@huggingface/transformers";
import { tasks } from "./tasks.mjs";

transformers.env.allowRemoteModels = false;
transformers.env.localModelPath = process.argv[2];
const answers = (dtype) => tasks(transformers, { dtype, device: "cpu" });

console.log = console.info = console.warn = console.error; // what libraries print is no answer
for await (const line of createInterface({ input: process.stdin })) {
  const [folder, task, input, dtype] = JSON.parse(line);
  let answer;
  try {
    answer = { found: await answers(dtype)[task](folder, input) };
  } catch (error) {
    answer = { error: error.stack };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
