// Heads and chunked bodies: however the bytes are cut into reads, the outcome is the same, and what
// is accepted keeps the rules.
#include <string>
#include <variant>

#include "daemon/http/chunked.h"
#include "daemon/http/head_parse.h"
#include "daemon/http/head_scan.h"
#include "daemon/http/request_head.h"
#include "fuzz/fuzz.h"

using namespace klog;
using namespace klog::http;
using klog::fuzz::Input;
using klog::fuzz::require;

namespace {

constexpr HeadLimits kLimits{256, 1024, 10};

// Gives the scanner's end, having shown it `first` bytes to begin with, then one more at a time
// (step 1) or all.
HeadScanner::State scan(HeadScanner& scanner, std::string_view bytes, std::size_t first,
                        std::size_t step) {
    for (std::size_t size = std::min(first, bytes.size());; size += step) {
        size = std::min(size, bytes.size());
        const HeadScanner::State state = scanner.scan(bytes.substr(0, size));
        if (state != HeadScanner::State::more || size == bytes.size()) return state;
    }
}

void check_head(std::string_view head) {
    require(head.find('\0') == std::string_view::npos, "no NUL in a head");
    auto parsed = parse_request_head(head);
    if (!parsed.ok()) return;
    for (const auto& [name, value] : parsed->fields) {
        require(!name.empty() && name.find_first_of(" \t\r\n:") == std::string::npos, "names");
        require(value.find_first_of("\r\n") == std::string::npos, "values are one line");
    }
    RequestRules rules;
    rules.target_bytes_max = 256;
    rules.loopback_host_only = true;
    const auto judged = check_request_head(std::move(*parsed), rules);
    if (const auto* failure = std::get_if<HeadFailure>(&judged)) {
        require(failure->status >= 400 && failure->status < 600, "a refusal has a status");
        return;
    }
    const RequestHead& request = std::get<RequestHead>(judged);
    require(!(request.chunked && request.request.content_length), "framing in one way only");
    require(request.request.path.starts_with('/') || request.request.method == "OPTIONS", "a path");
}

struct Decoded {
    bool failed = false;
    bool done = false;
    std::size_t consumed = 0;
    std::string body;
};

Decoded decode(std::string_view bytes, std::size_t step) {
    Decoded result;
    ChunkDecoder decoder;
    while (result.consumed < bytes.size() && !decoder.done()) {
        const std::string part(bytes.substr(result.consumed, step));
        std::string out(part.size(), '\0');
        const auto taken = decoder.decode(part.data(), part.size(), out.data());
        if (!taken.ok()) {
            result.failed = true;
            return result;
        }
        require(taken->produced <= taken->consumed && taken->consumed <= part.size(), "sizes");
        require(taken->consumed == part.size() || decoder.done(), "all is taken until the end");
        result.body.append(out, 0, taken->produced);
        result.consumed += taken->consumed;
    }
    result.done = decoder.done();
    return result;
}

void check_chunks(std::string_view bytes, std::size_t step) {
    const Decoded whole = decode(bytes, bytes.size() + 1);
    const Decoded pieces = decode(bytes, step);
    require(whole.failed == pieces.failed && whole.done == pieces.done, "cuts change nothing");
    if (whole.failed) return;
    require(whole.body == pieces.body && whole.consumed == pieces.consumed, "the same body");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Input in(data, size);
    const std::size_t cut = in.byte();
    const std::string_view bytes = in.rest();
    HeadScanner whole(kLimits);
    HeadScanner pieces(kLimits);
    const auto at_once = scan(whole, bytes, bytes.size(), 1);
    const auto by_byte = scan(pieces, bytes, cut, 1);
    require(at_once == by_byte, "cuts change nothing");
    if (at_once == HeadScanner::State::done) {
        require(whole.end() == pieces.end() && whole.begin() == pieces.begin(), "the same head");
        require(whole.begin() < whole.end() && whole.end() <= bytes.size(), "within the bytes");
        check_head(bytes.substr(whole.begin(), whole.end() - whole.begin()));
        check_chunks(bytes.substr(whole.end()), cut + 1);
    } else if (at_once == HeadScanner::State::failed) {
        // Where several things are wrong, which of them is told may depend on how the bytes came.
        for (const HeadScanner* scanner : {&whole, &pieces}) {
            const int status = scanner->failure().status;
            require(status == 400 || status == 414 || status == 431, "a refusal of the client");
        }
    }
    check_chunks(bytes, cut + 1);
    return 0;
}
