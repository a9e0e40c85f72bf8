// Runs a TorchScript archive of the converter, with libtorch alone.
//
//   ./run model.pt input_ids=1x3:101,7592,102 attention_mask=1x3:1,1,1 token_type_ids=1x3:0,0,0
//
// An input is NAME=SHAPE:VALUES, in any order. Each output is printed on a line of its own: its shape, then its values.
#include <torch/script.h>

#include <algorithm>
#include <charconv>
#include <iostream>
#include <limits>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

static std::vector<int64_t> numbers(std::string_view text, char separator) {
    std::vector<int64_t> found;
    while (!text.empty()) {
        const auto word = text.substr(0, text.find(separator));
        int64_t number = 0;
        const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
        if (error != std::errc() || end != word.data() + word.size()) throw std::runtime_error("no number: " + std::string(word));
        found.push_back(number);
        text.remove_prefix(std::min(text.size(), word.size() + 1));
    }
    return found;
}

static torch::Tensor tensor(std::string_view text) {  // SHAPE:VALUES
    const auto colon = text.find(':');
    if (colon == std::string_view::npos) throw std::runtime_error("not of the form SHAPE:VALUES: " + std::string(text));
    const auto shape = numbers(text.substr(0, colon), 'x');
    return torch::tensor(numbers(text.substr(colon + 1), ','), torch::kInt64).view(shape);
}

int main(int argc, char** argv) try {
    if (argc < 2) throw std::runtime_error("usage: run MODEL NAME=SHAPE:VALUES …");
    std::map<std::string, torch::Tensor> given;
    for (int place = 2; place < argc; ++place) {
        const std::string_view word = argv[place];
        const auto equals = word.find('=');
        if (equals == std::string_view::npos) throw std::runtime_error("not of the form NAME=SHAPE:VALUES: " + std::string(word));
        given[std::string(word.substr(0, equals))] = tensor(word.substr(equals + 1));
    }

    torch::jit::ExtraFilesMap extra{{"signature.json", ""}};  // names, shapes, the axes of one length, what to pad with
    torch::jit::Module model = torch::jit::load(argv[1], torch::kCPU, extra);
    torch::InferenceMode inference;

    std::vector<torch::jit::IValue> inputs;  // in the order that the model's own signature has
    for (const auto& argument : model.get_method("forward").function().getSchema().arguments()) {
        if (argument.name() == "self") continue;
        const auto found = given.find(argument.name());
        if (found == given.end()) throw std::runtime_error("no " + argument.name() + " is given; the archive says:\n" + extra["signature.json"]);
        inputs.emplace_back(found->second);
    }

    const auto outputs = model.forward(inputs).toTuple();  // a tuple, even of one
    std::cout.precision(std::numeric_limits<float>::max_digits10);
    for (const auto& output : outputs->elements()) {
        const auto values = output.toTensor().to(torch::kFloat).contiguous();
        std::cout << values.sizes();
        for (int64_t place = 0; place < values.numel(); ++place) std::cout << ' ' << values.data_ptr<float>()[place];
        std::cout << '\n';
    }
    return 0;
} catch (const std::exception& error) {
    const auto* torchs = dynamic_cast<const c10::Error*>(&error);
    std::string told = torchs ? torchs->what_without_backtrace() : error.what();
    told.erase(told.find_last_not_of('\n') + 1);
    if (told.find("Traceback of TorchScript") != std::string::npos) told.erase(0, told.rfind('\n') + 1);  // the cause stands last
    std::cerr << told << '\n';
    return 1;
}
