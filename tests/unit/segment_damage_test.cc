// What a damaged, exchanged, truncated or hostile segment may do: answer rightly or refuse, never
// serve a wrong byte, crash, or allocate by what it claims.
#include <doctest/doctest.h>

#include <map>
#include <random>
#include <string>

#include "base/coding.h"
#include "segment/segment_pages.h"
#include "segment/segment_reader.h"
#include "tests/support/segment_testing.h"

using namespace klog;
using namespace klog::testing;

namespace {

struct Small {
    Small() {
        std::mt19937_64 random(5);
        history = random_history(random, 110, 120);
        SegmentWriterOptions options;
        options.block_bytes = 1500;
        options.dictionary_bytes_max = 1024;
        auto made = write_segment(env, history, options);
        REQUIRE_MESSAGE(made.ok(), (made.ok() ? "" : made.error().message));
        entry = made.value();
        file = env.read_file(kSegmentPath).value();
        auto reader = SegmentReader::open(env, kSegmentPath, &entry, nullptr);
        REQUIRE(reader.ok());
        REQUIRE(reader.value()->blocks() > 3);
        REQUIRE_FALSE(reader.value()->dictionary().value().empty());
        answers = ask_all(*reader.value(), history);
        for (const std::string& answer : answers) REQUIRE_FALSE(answer.starts_with("error: "));
    }
    // How many answers were refused; fails on a wrong one.
    std::size_t ask(SegmentReader& reader) {
        const auto now = ask_all(reader, history);
        REQUIRE(now.size() == answers.size());
        std::size_t refused = 0;
        for (std::size_t i = 0; i < now.size(); ++i) {
            if (now[i].starts_with("error: ")) {
                ++refused;
            } else {
                REQUIRE(now[i] == answers[i]);
            }
        }
        return refused;
    }
    Result<std::shared_ptr<SegmentReader>> open(const std::string& bytes,
                                                const SegmentEntry* expected = nullptr) {
        REQUIRE(env.write_file(kSegmentPath, bytes).ok());
        return SegmentReader::open(env, kSegmentPath, expected, nullptr);
    }
    // Whatever comes of it, it comes to an end.
    void survive(const std::string& bytes) {
        auto reader = open(bytes);
        if (!reader.ok()) {
            CHECK_FALSE(reader.error().message.empty());
            return;
        }
        ask_all(*reader.value(), history);
        static_cast<void>(reader.value()->verify(true, {}));
    }

    SimEnv env{2};
    History history;
    SegmentEntry entry;
    std::string file;
    std::vector<std::string> answers;
};

}  // namespace

TEST_CASE("segment: no flipped byte is ever served, and verify finds each") {
    Small small;
    std::size_t refused_at_open = 0;
    for (std::size_t at = 0; at < small.file.size(); ++at) {
        CAPTURE(at);
        std::string flipped = small.file;
        flipped[at] = static_cast<char>(flipped[at] ^ static_cast<char>(1U << (at % 8)));
        auto reader = small.open(flipped, &small.entry);
        if (!reader.ok()) {
            CHECK((reader.error().code == Code::corrupt ||
                   reader.error().code == Code::format_unknown));
            CHECK(reader.error().message.find(kSegmentPath) != std::string::npos);
            ++refused_at_open;
            continue;
        }
        small.ask(*reader.value());
        const Status verified = reader.value()->verify(at % 5 == 0, {});
        REQUIRE_FALSE(verified.ok());
        CHECK(verified.error().code == Code::corrupt);
        CHECK(verified.error().message.find(kSegmentPath) != std::string::npos);
    }
    CHECK(refused_at_open == small.entry.root_bytes);  // the root, and nothing but the root
}

TEST_CASE("segment: damage to a block refuses that block and nothing else") {
    Small small;
    auto sound = small.open(small.file, &small.entry);
    REQUIRE(sound.ok());
    const BlockInfo info = sound.value()->block_info(2).value();
    std::string damaged = small.file;
    damaged[info.offset + 5] ^= 4;
    auto reader = small.open(damaged, &small.entry);
    REQUIRE(reader.ok());
    CHECK(small.ask(*reader.value()) == 2);  // the block, as it lies there and unpacked
    const auto refused = reader.value()->block(2, 0);
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().code == Code::corrupt);
    const std::string seqs = "seqs " + std::to_string(info.held.first.value) + " to " +
                             std::to_string(info.held.last.value);
    CHECK(refused.error().message.find(seqs) != std::string::npos);
    CHECK(refused.error().message.find("offset " + std::to_string(info.offset)) !=
          std::string::npos);
    // As they are stored: what lies before it, and then the same refusal.
    const auto run = [&](std::uint32_t from) {
        return reader.value()->stored_run(from, 1U << 20U,
                                          [](std::uint32_t, const BlockInfo&) { return true; });
    };
    const auto before = run(0);
    REQUIRE(before.ok());
    CHECK(before.value().blocks.size() == 2);
    const auto refused_run = run(2);
    REQUIRE_FALSE(refused_run.ok());
    CHECK(refused_run.error().message == refused.error().message);
}

TEST_CASE("segment: every truncation is seen") {
    Small small;
    for (std::size_t length = 0; length < small.file.size(); ++length) {
        const std::string cut = small.file.substr(0, length);
        const auto reader = small.open(cut, &small.entry);
        REQUIRE_FALSE(reader.ok());
        CHECK(reader.error().code == Code::corrupt);
        CHECK_FALSE(small.open(cut).ok());
    }
    CHECK_FALSE(small.open(small.file + '\0', &small.entry).ok());
    CHECK_FALSE(small.open(small.file + small.file, &small.entry).ok());
}

TEST_CASE("segment: another segment in its place is refused, and what differs is named") {
    Small small;
    const auto refusal = [&](const SegmentEntry& expected) {
        const auto reader = small.open(small.file, &expected);
        REQUIRE_FALSE(reader.ok());
        CHECK(reader.error().code == Code::corrupt);
        CHECK_FALSE(reader.error().hint.empty());
        return reader.error().message;
    };
    const auto with = [&](auto&& change) {
        SegmentEntry expected = small.entry;
        change(expected);
        return refusal(expected);
    };
    CHECK(with([](SegmentEntry& e) { e.segment_id = 8; }).find("segment_id") != std::string::npos);
    CHECK(with([](SegmentEntry& e) { ++e.file_bytes; }).find("size") != std::string::npos);
    CHECK(with([](SegmentEntry& e) { ++e.root_bytes; }).find("root") != std::string::npos);
    CHECK(with([](SegmentEntry& e) { e.root_hash.lo ^= 1; }).find("hash") != std::string::npos);
    CHECK(with([](SegmentEntry& e) { ++e.covered.last.value; }).find("covers") !=
          std::string::npos);
    CHECK(with([](SegmentEntry& e) { ++e.held.last.value; }).find("holds") != std::string::npos);
    CHECK(with([](SegmentEntry& e) { ++e.records; }).find("records") != std::string::npos);
    CHECK(with([](SegmentEntry& e) { e.generation = 4; }).find("generation") != std::string::npos);
    CHECK(with([](SegmentEntry& e) { e.log_id = LogId::system; }).find("log") != std::string::npos);
    CHECK(with([](SegmentEntry& e) { ++e.last_time.micros; }).find("time") != std::string::npos);

    // The same shape with other bytes.
    History other = small.history;
    for (OwnRecord& record : other) record.value.back() = ' ';
    SimEnv env(3);
    SegmentWriterOptions options;
    options.block_bytes = 1500;
    options.dictionary_bytes_max = 1024;
    REQUIRE(write_segment(env, other, options).ok());
    const auto reader = SegmentReader::open(env, kSegmentPath, &small.entry, nullptr);
    REQUIRE_FALSE(reader.ok());
    CHECK(reader.error().code == Code::corrupt);
}

TEST_CASE("segment: what a later version may write is refused by the writer's name, or skipped") {
    Small small;
    const auto result_of = [&](auto&& change) {
        SegmentParts parts(small.file);
        parts.root.writer = "klog 7.2";
        change(parts);
        return small.open(parts.assemble());
    };
    const auto unknown = [&](auto&& change) {
        const auto reader = result_of(change);
        REQUIRE_FALSE(reader.ok());
        CHECK(reader.error().code == Code::format_unknown);
        CHECK(reader.error().message.find("klog 7.2") != std::string::npos);
    };
    unknown([](SegmentParts& parts) { parts.root.min_reader = 2; });
    unknown([](SegmentParts& parts) { parts.root.incompatible_bits = 4; });
    unknown([](SegmentParts& parts) { parts.part(SectionType::partitions).ref.entries = 64; });
    unknown([](SegmentParts& parts) { parts.part(SectionType::blocks).ref.key_id = 1; });
    unknown([](SegmentParts& parts) { parts.part(SectionType::topic_table).ref.codec = 9; });
    unknown(
        [](SegmentParts& parts) { parts.part(SectionType::residue_head_pages).ref.entries = 1; });
    SegmentParts::Part extra;
    extra.ref.type = 77;
    extra.stored = "from later";
    unknown([&](SegmentParts& parts) {
        extra.ref.critical = true;
        parts.parts.push_back(extra);
    });
    auto skipped = result_of([&](SegmentParts& parts) {
        extra.ref.critical = false;
        parts.parts.insert(parts.parts.begin() + 3, extra);
        parts.root.compatible_bits = 0x10;
        parts.root.format = 3;
    });
    REQUIRE_MESSAGE(skipped.ok(), (skipped.ok() ? "" : skipped.error().message));
    CHECK(small.ask(*skipped.value()) == 0);
    const Status sound = skipped.value()->verify(true, {});
    CHECK_MESSAGE(sound.ok(), (sound.ok() ? "" : sound.error().message));
}

TEST_CASE("segment: a hostile root is refused") {
    Small small;
    const auto refused = [&](auto&& change) {
        SegmentParts parts(small.file);
        change(parts);
        const auto reader = small.open(parts.assemble());
        REQUIRE_FALSE(reader.ok());
        CHECK(reader.error().code == Code::corrupt);
    };
    refused([](SegmentParts& parts) { parts.root.blocks = kSegmentBlocksMax + 1; });
    refused([](SegmentParts& parts) { parts.root.blocks = 1'000'000; });
    refused([](SegmentParts& parts) { parts.root.stats.records = UINT64_MAX; });
    refused([](SegmentParts& parts) { parts.root.stats.records = 0; });
    refused([](SegmentParts& parts) { parts.root.stats.held.last = Seq{UINT64_MAX}; });
    refused([](SegmentParts& parts) { parts.root.stats.covered = {}; });
    refused([](SegmentParts& parts) { parts.root.stats.last_time.micros = 0; });
    refused([](SegmentParts& parts) { parts.root.plain.records = UINT64_MAX; });
    refused([](SegmentParts& parts) { parts.part(SectionType::blocks).ref.entries = 1; });
    refused([](SegmentParts& parts) { parts.parts.push_back(parts.parts[3]); });
    refused([](SegmentParts& parts) { parts.parts.pop_back(); });
    // Claims of sizes that no bytes justify, and of more than a reader takes in.
    for (const SectionType type : {SectionType::dictionary, SectionType::lineage,
                                   SectionType::key_table, SectionType::index_table}) {
        refused([type](SegmentParts& parts) {
            parts.part(type).ref.codec = 1;
            parts.part(type).ref.unpacked_bytes = UINT64_MAX;
        });
        refused([type](SegmentParts& parts) {
            parts.part(type).ref.codec = 0;
            parts.part(type).ref.unpacked_bytes = 1000000;
        });
    }
    // Sections that overlap, lie in a loop, or leave a hole.
    for (const std::uint64_t shift : {std::uint64_t{1}, UINT64_MAX, UINT64_MAX - 70}) {
        SegmentParts parts(small.file);
        std::string bytes = parts.assemble();
        SegmentRoot root = parts.root;
        const std::uint64_t root_at = bytes.size() - small.entry.root_bytes;
        for (SectionRef& section : root.sections) {
            const SectionRef before = section;
            section.offset += shift;
            CHECK_FALSE(small.open(bytes.substr(0, root_at) + encode_root(root, root_at)).ok());
            section = before;
            section.stored_bytes += shift;
            CHECK_FALSE(small.open(bytes.substr(0, root_at) + encode_root(root, root_at)).ok());
            section = before;
        }
    }
}

TEST_CASE("segment: hostile tables and pages are refused") {
    Small small;
    constexpr SectionType kPaged[] = {SectionType::index_pages, SectionType::topic_pages,
                                      SectionType::key_pages, SectionType::filter_pages,
                                      SectionType::id_pages};
    const auto refusals = [&](SegmentParts& parts) {
        auto reader = small.open(parts.assemble());
        REQUIRE(reader.ok());
        const auto now = ask_all(*reader.value(), small.history);
        CHECK_FALSE(reader.value()->verify(true, {}).ok());
        return std::count_if(now.begin(), now.end(), [](const std::string& answer) {
            return answer.starts_with("error: ");
        });
    };
    for (const SectionType type : kPaged) {
        CAPTURE(static_cast<int>(type));
        std::string huge;
        put_varint(huge, 1ULL << 40U);
        huge.append(40, '\0');
        SegmentParts many(small.file);
        many.replace(table_of(type), huge);
        CHECK(refusals(many) > 0);

        for (const auto& change : std::vector<std::function<void(PageRef&)>>{
                 [](PageRef& page) { page.unpacked_bytes = kSegmentPageBytesMax + 1; },
                 [](PageRef& page) {
                     page.codec = 1;
                     page.unpacked_bytes = kSegmentPageBytesMax;
                 },
                 [](PageRef& page) { page.stored_bytes = UINT32_MAX; },
                 [](PageRef& page) { page.entries = UINT32_MAX; },
                 [](PageRef& page) { ++page.entries; }, [](PageRef& page) { page.codec = 2; }}) {
            SegmentParts parts(small.file);
            PageTable table;
            REQUIRE_FALSE(parts.pages(type, table).empty());
            change(table.pages[0]);
            parts.replace(table_of(type), encode_table(table));
            CHECK(refusals(parts) > 0);
        }
    }
}

TEST_CASE("segment: broken pages under sound checksums never crash a reader") {
    Small small;
    std::mt19937_64 random(11);
    constexpr SectionType kPaged[] = {SectionType::index_pages, SectionType::topic_pages,
                                      SectionType::key_pages, SectionType::filter_pages,
                                      SectionType::id_pages};
    for (int round = 0; round < 3000; ++round) {
        SegmentParts parts(small.file);
        const SectionType type = kPaged[random() % std::size(kPaged)];
        PageTable table;
        std::vector<std::string> pages = parts.pages(type, table);
        std::string& page = pages[random() % pages.size()];
        for (std::uint64_t i = 0; i <= random() % 3; ++i) {
            page[random() % page.size()] = static_cast<char>(random() % 4 == 0 ? 0xff : random());
        }
        if (random() % 5 == 0) page.resize(random() % page.size() + 1);
        parts.replace_pages(type, pages, table);
        small.survive(parts.assemble());
    }
}

TEST_CASE("segment: a block that claims what it does not unpack to is refused") {
    Small small;
    const auto with_block = [&](auto&& change) {
        SegmentParts parts(small.file);
        PageTable table;
        std::vector<std::string> pages = parts.pages(SectionType::index_pages, table);
        std::vector<BlockInfo> infos;
        REQUIRE(decode_index_page(pages[0], table.key(0), table.pages[0].entries,
                                  parts.part(SectionType::blocks).ref, infos));
        change(infos[1], parts.part(SectionType::blocks).stored);
        pages[0] = encode_index_page(infos);
        parts.replace_pages(SectionType::index_pages, pages, table);
        auto reader = small.open(parts.assemble());
        REQUIRE(reader.ok());
        CHECK_FALSE(reader.value()->verify(true, {}).ok());
        return reader.value()->block(1, 0);
    };
    const auto stored_at = [](const BlockInfo& info) { return info.offset - kSegmentHeaderBytes; };
    CHECK_FALSE(with_block([](BlockInfo& info, std::string&) { ++info.payload_bytes; }).ok());
    CHECK_FALSE(with_block([](BlockInfo& info, std::string&) { --info.payload_bytes; }).ok());
    CHECK_FALSE(
        with_block([](BlockInfo& info, std::string&) { info.payload_bytes = 64U << 20U; }).ok());
    CHECK_FALSE(
        with_block([](BlockInfo& info, std::string&) { info.payload_bytes = UINT32_MAX; }).ok());
    CHECK_FALSE(with_block([](BlockInfo& info, std::string&) { info.codec = 0; }).ok());
    CHECK_FALSE(with_block([](BlockInfo& info, std::string&) { info.codec = 7; }).ok());
    CHECK_FALSE(with_block([](BlockInfo& info, std::string&) { info.count = UINT32_MAX; }).ok());
    // Garbage under a sound checksum.
    CHECK_FALSE(with_block([&](BlockInfo& info, std::string& blocks) {
                    std::fill_n(blocks.begin() + static_cast<std::ptrdiff_t>(stored_at(info) + 8),
                                20, '\xee');
                    info.crc =
                        crc32c(std::string_view(blocks).substr(stored_at(info), info.stored_bytes));
                }).ok());
}

TEST_CASE("segment: every failing call ends in its error, and so does everything behind it") {
    std::mt19937_64 random(5);
    History history = random_history(random, 2500);
    for (OwnRecord& record : history) {  // nothing that could be packed
        record.value.resize(250);
        for (char& c : record.value) c = static_cast<char>(random());
    }
    SegmentWriterOptions options;
    options.dictionary_bytes_max = 0;  // blocks are written at once
    for (const Code code : {Code::io, Code::disk_full}) {
        for (std::uint64_t skip = 0;; ++skip) {
            SimEnv env(1);
            REQUIRE(env.create_dirs("/seg/1").ok());
            env.inject({.kinds = {SimCall::exists, SimCall::create, SimCall::write, SimCall::sync},
                        .skip = skip,
                        .code = code});
            auto writer = SegmentWriter::create(env, kSegmentPath, test_identity(), options);
            Status status;
            if (writer.ok()) {
                for (const OwnRecord& record : history) {
                    const Status added = writer.value()->add(record.view());
                    if (!status.ok()) CHECK_FALSE(added.ok());
                    if (status.ok() && !added.ok()) status = added.error();
                }
                auto entry = writer.value()->finish(covered_by(history), {});
                if (!entry.ok() && status.ok()) status = entry.error();
                if (!status.ok()) CHECK_FALSE(entry.ok());
            } else {
                status = writer.error();
            }
            if (env.calls_failed() == 0) {
                CHECK(status.ok());
                CHECK(skip >= 6);  // exists, create, three writes, sync
                break;
            }
            REQUIRE_FALSE(status.ok());
            CHECK(status.error().code == code);
        }
    }
    SimEnv small_disk(1);
    small_disk.set_capacity(300'000);
    const auto entry = write_segment(small_disk, history);
    REQUIRE_FALSE(entry.ok());
    CHECK(entry.error().code == Code::disk_full);
}

TEST_CASE("segment: a failing read is told and forgotten") {
    Small small;
    const auto cache = PageCache::make(1U << 20U);
    for (std::uint64_t skip = 0;; ++skip) {
        small.env.clear_faults();
        const std::uint64_t before = small.env.calls_failed();
        small.env.inject({.kinds = {SimCall::open, SimCall::read, SimCall::size}, .skip = skip});
        auto reader = SegmentReader::open(small.env, kSegmentPath, &small.entry, cache);
        if (!reader.ok()) {
            CHECK(reader.error().code == Code::io);
            continue;
        }
        cache->forget(7);
        const std::size_t refused = small.ask(*reader.value());
        if (small.env.calls_failed() == before) {
            CHECK(refused == 0);
            break;
        }
        CHECK(small.ask(*reader.value()) == 0);
    }
}

TEST_CASE("segment: what a crash leaves behind a finished segment is that segment") {
    std::mt19937_64 random(6);
    const History history = random_history(random, 500);
    SimEnv env(9);
    const auto entry = write_segment(env, history);
    REQUIRE(entry.ok());
    REQUIRE(env.sync_dir("/seg/1").ok());
    env.crash_lose_all();
    const auto reader = SegmentReader::open(env, kSegmentPath, &entry.value(), nullptr);
    REQUIRE(reader.ok());
    CHECK(reader.value()->verify(true, {}).ok());
}
