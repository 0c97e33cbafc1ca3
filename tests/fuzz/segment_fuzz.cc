// A segment of which somebody changed parts and mended all checksums: whatever a reader is asked,
// it answers or refuses. Without a change it answers as it should.
#include <algorithm>
#include <iterator>
#include <string>
#include <vector>

#include "env/sim_env.h"
#include "fuzz/fuzz.h"
#include "support/segment_testing.h"

using namespace klog;
using namespace klog::testing;
using klog::fuzz::Input;
using klog::fuzz::require;

namespace {

constexpr int kChangesMax = 6;
constexpr SectionType kPaged[] = {SectionType::index_pages, SectionType::topic_pages,
                                  SectionType::key_pages, SectionType::filter_pages,
                                  SectionType::id_pages};

struct Written {
    SimEnv env{3};
    History history;
    std::string file;

    Written() {
        std::mt19937_64 random(7);
        history = random_history(random, 120, 120);
        SegmentWriterOptions options;
        options.block_bytes = 1500;
        options.dictionary_bytes_max = 1024;
        require(write_segment(env, history, options).ok(), "a segment can be written");
        file = env.read_file(kSegmentPath).value();
    }
};

void overwrite(std::string& bytes, Input& in) {
    const std::uint8_t how = in.byte();
    const std::size_t at = bytes.empty() ? 0 : in.number(2) % bytes.size();
    if (how % 8 == 0) {
        bytes.resize(at);
        return;
    }
    const std::string_view with = in.bytes(std::min<std::size_t>(how / 8U, bytes.size() - at));
    bytes.replace(at, with.size(), with);
}

void change(SegmentParts& parts, Input& in) {
    const std::uint8_t how = in.byte();
    if (how % 4 == 0) {  // a section as it is stored
        overwrite(parts.parts[in.byte() % parts.parts.size()].stored, in);
        return;
    }
    if (how % 4 == 1) {  // what the directory says of it
        SectionRef& ref = parts.parts[in.byte() % parts.parts.size()].ref;
        ref.entries = in.number(8);
        ref.unpacked_bytes = in.number(8);
        ref.codec = in.byte();
        return;
    }
    const SectionType type = kPaged[in.byte() % std::size(kPaged)];
    if (how % 4 == 2) {
        std::string table = parts.unpacked(table_of(type));
        overwrite(table, in);
        parts.replace(table_of(type), table);
        return;
    }
    PageTable table;
    std::vector<std::string> pages = parts.pages(type, table);
    overwrite(pages[in.byte() % pages.size()], in);
    parts.replace_pages(type, pages, table);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Input in(data, size);
    static Written written;
    std::string file = written.file;
    // A part that was changed cannot be taken apart again: each change begins with the whole.
    const bool changed = !in.empty();
    if (changed) {
        SegmentParts parts(written.file);
        change(parts, in);
        for (int i = 1; i < kChangesMax && !in.empty(); ++i) {
            overwrite(parts.parts[in.byte() % parts.parts.size()].stored, in);
        }
        file = parts.assemble();
    }
    require(written.env.write_file(kSegmentPath, file).ok(), "a file can be written");
    auto reader = SegmentReader::open(written.env, kSegmentPath, nullptr, nullptr);
    if (!reader.ok()) {
        require(!reader.error().message.empty(), "a refusal says why");
        return 0;
    }
    const auto answers = ask_all(*reader.value(), written.history);
    const Status verified = reader.value()->verify(true, {});
    require(verified.ok() || !verified.error().message.empty(), "a refusal says why");
    if (verified.ok()) {
        require(std::none_of(answers.begin(), answers.end(),
                             [](const std::string& a) { return a.starts_with("error: "); }),
                "what verify finds sound can be read");
    }
    require(changed || verified.ok(), "an unchanged segment is sound");
    return 0;
}
