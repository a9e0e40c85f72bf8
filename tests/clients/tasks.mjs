// What a user of transformers.js asks of a model, by the name of the task: `tasks` of the library as it was imported, with the settings of
// every model.
export function tasks(transformers, settings) {
  const { AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoModelForSpeechSeq2Seq, AutoTokenizer, Tensor, pipeline } = transformers;
  const open = (task, folder) => pipeline(task, folder, settings);

  async function generate(kind, folder, { texts, steps }) {
    const [tokenizer, model] = await Promise.all([AutoTokenizer.from_pretrained(folder), kind.from_pretrained(folder, settings)]);
    tokenizer.padding_side = "left";
    return rows(await model.generate({ ...tokenizer(texts, { padding: true }), ...forced(steps) }));
  }

  return {
    "feature-extraction": async (folder, texts) =>
      (await (await open("feature-extraction", folder))(texts, { pooling: "mean", normalize: true })).tolist(),
    "text-classification": async (folder, texts) => (await open("text-classification", folder))(texts, { top_k: null }),
    "token-classification": async (folder, text) => (await open("token-classification", folder))(text, { ignore_labels: [] }),
    "question-answering": async (folder, { question, context }) => (await open("question-answering", folder))(question, context),
    "text-generation": (folder, given) => generate(AutoModelForCausalLM, folder, given),
    "text2text-generation": (folder, given) => generate(AutoModelForSeq2SeqLM, folder, given),
    "automatic-speech-recognition": async (folder, { features, begin, steps }) => {
      const model = await AutoModelForSpeechSeq2Seq.from_pretrained(folder, settings);
      const dims = [features.length, features[0].length, features[0][0].length];
      const input_features = new Tensor("float32", Float32Array.from(features.flat(2)), dims);
      return rows(await model.generate({ input_features, decoder_input_ids: features.map(() => [begin]), ...forced(steps) }));
    },
  };
}

const forced = (steps) => ({ max_new_tokens: steps, min_new_tokens: steps, do_sample: false });
const rows = (tokens) => tokens.tolist().map((row) => row.map(Number));
