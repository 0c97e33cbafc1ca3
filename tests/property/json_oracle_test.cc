// The walker against a library that was written by others: what simdjson's DOM parser accepts, the
// checker accepts, and the other way round, over mutated texts.
#include <doctest/doctest.h>
#include <simdjson.h>

#include <random>
#include <string>
#include <vector>

#include "daemon/json/json_check.h"

namespace {

constexpr int kTexts = 60'000;

// Pieces that meet in right and in wrong ways. Numbers stay short: the library refuses what does
// not fit 64 bits or a double, which is JSON all the same.
const std::vector<std::string> kPieces = {
    "{",       "}",  "[",     "]",         ",",         ":",   "\"a\"", "\"\\u00e9\"", "\"\\n\"",
    "\"x y\"", "1",  "-2",    "0",         "0.5",       "1e2", "-0",    "01",          "1.",
    ".5",      "+1", "true",  "false",     "null",      "nul", "tru",   " ",           "\t",
    "\n",      "\"", "\\",    "\"\\x\"",   "\"\\u12\"", "é",   "\xff",  "\x01",        "NaN",
    "{}",      "[]", "[1,2]", "{\"k\":1}", "\"\xc3\"",  "/",   "'",     "1E+3",        "-",
};

std::string valid_text(std::mt19937& random, int depth) {
    const auto pick = [&](std::size_t n) { return random() % n; };
    switch (depth <= 0 ? pick(5) : pick(7)) {
        case 0:
            return "null";
        case 1:
            return std::to_string(static_cast<int>(pick(100'000)) - 50'000);
        case 2:
            return "\"s\\u0041\xc3\xa9\"";
        case 3:
            return "-1.25e-3";
        case 4:
            return pick(2) == 0 ? "true" : " false ";
        case 5: {
            std::string text = "[";
            const std::size_t n = pick(4);
            for (std::size_t i = 0; i < n; ++i) {
                text += (i == 0 ? "" : ",") + valid_text(random, depth - 1);
            }
            return text + "]";
        }
        default: {
            std::string text = "{ ";
            const std::size_t n = pick(4);
            for (std::size_t i = 0; i < n; ++i) {
                text += (i == 0 ? "\"" : ", \"") + std::to_string(i) + "\" : ";
                text += valid_text(random, depth - 1);
            }
            return text + "}";
        }
    }
}

std::string some_text(std::mt19937& random) {
    std::string text;
    if (random() % 3 == 0) {
        const std::size_t pieces = 1 + random() % 6;
        for (std::size_t i = 0; i < pieces; ++i) text += kPieces[random() % kPieces.size()];
        return text;
    }
    text = valid_text(random, 4);
    const std::size_t changes = random() % 3;
    for (std::size_t i = 0; i < changes && !text.empty(); ++i) {
        const std::size_t at = random() % text.size();
        const std::string& piece = kPieces[random() % kPieces.size()];
        if (random() % 2 == 0)
            text.insert(at, piece);
        else
            text.erase(at, 1 + random() % 2);
    }
    return text;
}

// Mutations join digits. Such numbers are JSON, and the library cannot hold them.
bool may_not_fit(const std::string& text) {
    std::size_t digits = 0;
    bool exponent = false;
    for (const char c : text) {
        if (c >= '0' && c <= '9') {
            if (++digits > (exponent ? 2U : 17U)) return true;
            continue;
        }
        if (digits == 0 && exponent && (c == '+' || c == '-')) continue;
        exponent = digits > 0 && (c == 'e' || c == 'E');
        digits = 0;
    }
    return false;
}

}  // namespace

TEST_CASE("json: the walker and simdjson's parser accept the same texts") {
    std::mt19937 random(20150912);
    simdjson::dom::parser parser;
    int accepted = 0;
    int refused = 0;
    for (int i = 0; i < kTexts; ++i) {
        const std::string text = some_text(random);
        if (may_not_fit(text)) continue;
        std::string ours = text;
        ours.resize(text.size() + 64);
        const bool we = klog::json::Checker().check(ours.data(), text.size()).ok();
        const bool they = parser.parse(text).error() == simdjson::SUCCESS;
        INFO("text: ", text);
        REQUIRE(we == they);
        ++(we ? accepted : refused);
    }
    CHECK(accepted > kTexts / 10);
    CHECK(refused > kTexts / 10);
}
