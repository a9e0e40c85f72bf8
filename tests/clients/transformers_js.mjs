// Answers requests as a user of transformers.js would have them answered: [folder, what, input] as a line of JSON each, and {"found": …} or
// {"error": …} for each. Models are found below the folder that is the first argument, and nowhere else.
import { createInterface } from "node:readline";
import { AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoModelForSpeechSeq2Seq, AutoTokenizer, Tensor, env, pipeline } from "@huggingface/transformers";

env.allowRemoteModels = false;
env.localModelPath = process.argv[2];
env.useBrowserCache = false;

const settings = { dtype: "fp32", device: "cpu" };

const answers = {
  "feature-extraction": async (folder, texts) => (await (await pipeline("feature-extraction", folder, settings))(texts, { pooling: "mean", normalize: true })).tolist(),
  "text-classification": async (folder, texts) => (await pipeline("text-classification", folder, settings))(texts, { top_k: null }),
  "token-classification": async (folder, text) => (await pipeline("token-classification", folder, settings))(text, { ignore_labels: [] }),
  "fill-mask": async (folder, text) => (await pipeline("fill-mask", folder, settings))(text, { top_k: 5 }),
  "question-answering": async (folder, { question, context }) => (await pipeline("question-answering", folder, settings))(question, context),
  "text-generation": (folder, texts) => generate(AutoModelForCausalLM, folder, texts),
  "text2text-generation": (folder, texts) => generate(AutoModelForSeq2SeqLM, folder, texts),
  "automatic-speech-recognition": async (folder, { features, begin, steps }) => {
    const model = await AutoModelForSpeechSeq2Seq.from_pretrained(folder, settings);
    const dims = [features.length, features[0].length, features[0][0].length];
    const input_features = new Tensor("float32", Float32Array.from(features.flat(2)), dims);
    return rows(await model.generate({ input_features, decoder_input_ids: features.map(() => [begin]), ...forced(steps) }));
  },
};

async function generate(kind, folder, { texts, steps }) {
  const [tokenizer, model] = await Promise.all([AutoTokenizer.from_pretrained(folder), kind.from_pretrained(folder, settings)]);
  tokenizer.padding_side = "left";
  return rows(await model.generate({ ...tokenizer(texts, { padding: true }), ...forced(steps) }));
}

const forced = (steps) => ({ max_new_tokens: steps, min_new_tokens: steps, do_sample: false });
const rows = (tokens) => tokens.tolist().map((row) => row.map(Number));

console.log = console.info = console.warn = console.error; // what libraries print is no answer
for await (const line of createInterface({ input: process.stdin })) {
  const [folder, what, input] = JSON.parse(line);
  let answer;
  try {
    answer = { found: await answers[what](folder, input) };
  } catch (error) {
    answer = { error: error.stack };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
