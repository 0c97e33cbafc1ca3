// What the log keeps of consumers: definitions, positions and checkpoints, as records hold them.
// What can be read is written out again as something that reads the same.
#include <string>

#include "fuzz/fuzz.h"
#include "log/checkpoint.h"
#include "log/consumers.h"

using namespace klog;
using klog::fuzz::Input;
using klog::fuzz::require;

namespace {

constexpr std::uint64_t kSeq = 1'000'000;

bool same(const PositionLine& a, const PositionLine& b) {
    return a.name == b.name && a.position == b.position && a.active == b.active &&
           a.exact == b.exact && a.lease == b.lease && a.result == b.result;
}

void positions(std::string_view value) {
    const auto lines = decode_positions(value);
    if (!lines.ok()) return require(lines.error().code == Code::corrupt, "damage is told as such");
    const std::string again = encode_positions(*lines);
    const auto back = decode_positions(again);
    require(back.ok() && back->size() == lines->size(), "positions come back");
    for (std::size_t i = 0; i < lines->size(); ++i) {
        PositionLine line = (*lines)[i];
        // Times count in milliseconds from the greatest one.
        const std::int64_t lost = (*back)[i].active.micros - line.active.micros;
        require(lost >= 0 && lost < 1000, "a time loses less than a millisecond");
        line.active = (*back)[i].active;
        require(same(line, (*back)[i]), "a line comes back as it was");
    }
}

void definition(std::string_view value) {
    const auto read = decode_definition(value);
    if (!read.ok()) return require(read.error().code == Code::corrupt, "damage is told as such");
    if (!*read) return;
    const auto back = decode_definition(encode_definition(**read));
    require(back.ok() && *back && same_filters(**read, **back), "its filters come back");
    require((*back)->created == (*read)->created && (*back)->start == (*read)->start,
            "and where it began");
}

void checkpoint(std::string_view value) {
    const auto read = decode_checkpoint(value, Seq{kSeq});
    if (!read.ok()) return require(read.error().code == Code::corrupt, "damage is told as such");
    require(read->as_of <= Seq{kSeq} && read->previous < Seq{kSeq}, "it lies behind what it names");
    const auto back = decode_checkpoint(encode_checkpoint(*read), Seq{kSeq});
    require(back.ok() && back->settings == read->settings && back->as_of == read->as_of &&
                back->previous == read->previous && back->consumers == read->consumers,
            "a checkpoint comes back");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Input input(data, size);
    const std::uint8_t what = input.byte();
    if (what % 3 == 0) positions(input.rest());
    if (what % 3 == 1) definition(input.rest());
    if (what % 3 == 2) checkpoint(input.rest());
    return 0;
}
