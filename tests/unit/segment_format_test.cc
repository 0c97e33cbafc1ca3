#include "segment/segment_format.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "tests/support/segment_testing.h"
#include "tests/support/wal_dump.h"
#include "tests/support/wal_golden.h"

using namespace klog;
using namespace klog::testing;

namespace {

const std::string kGoldenName = "00000000000000000007.seg";

std::string segment_golden_path(const std::string& name) {
    return std::string(KLOG_SOURCE_DIR) + "/schemas/golden/segment/" + name;
}

std::string read_golden_segment(const std::string& name) {
    std::ifstream in(segment_golden_path(name), std::ios::binary);
    std::ostringstream out;
    out << in.rdbuf();
    return out.str();
}

// Every shape of a record that this version writes, then enough of them for a dictionary.
History segment_golden_history() {
    History history;
    const std::string payload = golden_payload();
    RecordDecoder decoder(payload, Seq{1}, kGoldenTime, 5);
    RecordView record;
    while (decoder.next(record).value()) history.push_back(own(record));
    for (std::uint64_t i = 1; i <= 140; ++i) {
        const std::string topic =
            i % 40 == 0 ? "$klog/test" : "shop/" + std::to_string(i % 7) + "/orders";
        const std::string value = fmt::format(
            R"({{"n":{},"text":"the quick brown fox jumps over the lazy dog","more":{}}})",
            i * 7919, i * i * 104729);
        OwnRecord made = own(golden_record(10 + i * 2, topic, value));
        made.fields.has_key = i % 3 != 0;
        if (made.fields.has_key) {
            made.key = "o-" + std::to_string(i % 17);
            made.fields.version = {i};
        }
        if (i % 5 == 0) made.id = "request-" + std::to_string(i);
        history.push_back(std::move(made));
    }
    return history;
}

SegmentIdentity golden_identity() {
    SegmentIdentity identity;
    identity.store_uuid = golden_header(1).store_uuid;
    identity.hash_key = golden_header(1).hash_key;
    identity.segment_id = 7;
    identity.generation = 2;
    return identity;
}

SegmentWriterOptions golden_options() {
    SegmentWriterOptions options;
    options.block_bytes = 2048;
    options.dictionary_bytes_max = 1024;
    return options;
}

std::string dump_root(const SegmentRoot& root) {
    const SegmentStats& s = root.stats;
    std::string out = fmt::format(
        "segment {} format {} min_reader {} bits {}/{} writer \"{}\" uuid {:02x} hash_key {:02x} "
        "log {} generation {} covered {}-{} held {}-{} records {} payload_bytes {} times {} {} "
        "blocks {} plain {} {}-{}\n",
        s.segment_id, root.format, root.min_reader, root.incompatible_bits, root.compatible_bits,
        root.writer, fmt::join(s.store_uuid, ""), fmt::join(s.hash_key, ""),
        static_cast<unsigned>(s.log_id), s.generation, s.covered.first.value, s.covered.last.value,
        s.held.first.value, s.held.last.value, s.records, s.payload_bytes, s.first_time.micros,
        s.last_time.micros, root.blocks, root.plain.records, root.plain.first_seq.value,
        root.plain.last_seq.value);
    for (const SectionRef& one : root.sections) {
        out += fmt::format("section {} critical {} key_id {} entries {}\n", one.type, one.critical,
                           one.key_id, one.entries);
    }
    return out;
}

std::string numbers(const std::vector<std::uint32_t>& blocks) {
    return fmt::format("{}", fmt::join(blocks, " "));
}

std::string dump_segment(SegmentReader& reader, const SegmentRoot& root) {
    std::string out = dump_root(root);
    for (std::uint32_t block = 0; block < reader.blocks(); ++block) {
        const BlockInfo info = reader.block_info(block).value();
        out += fmt::format("block {} seqs {}-{} count {} times {} {} payload_bytes {} flags {}\n",
                           block, info.held.first.value, info.held.last.value, info.count,
                           info.first_time.micros, info.last_time.micros, info.payload_bytes,
                           info.flags);
        out += dump_frame(*reader.block(block, 0).value());
    }
    REQUIRE(reader
                .each_topic("", "",
                            [&](std::string_view topic, const TopicCount& count) {
                                const std::vector<std::string> own_filter{std::string(topic)};
                                const auto set = FilterSet::parse(own_filter, {}).value();
                                out += fmt::format("topic {} records {} seqs {}-{} blocks {}\n",
                                                   topic, count.records, count.first_seq.value,
                                                   count.last_seq.value,
                                                   numbers(reader.blocks_of(set).value().blocks));
                                return true;
                            })
                .ok());
    const HashKey& key = root.stats.hash_key;
    for (const char* name : {"o-1", "o-2", "o-16"}) {
        out +=
            fmt::format("key shop {} blocks {}\n", name,
                        numbers(reader.blocks_of_entity(entity_hash(key, "shop", name)).value()));
    }
    out += fmt::format(
        "id request-5 blocks {}\n",
        numbers(
            reader.blocks_of_id(id_hash(key, "shop/5/orders", true, "o-5", "request-5")).value()));
    const SegmentLineage lineage = reader.lineage().value();
    out += fmt::format("lineage wal {}-{} inputs {}\n", lineage.wal_first, lineage.wal_last,
                       fmt::join(lineage.inputs, " "));
    return out;
}

}  // namespace

// With KLOG_WRITE_GOLDEN set the files are written instead; format 1 never needs that again.
TEST_CASE("segment format: the golden file is what is encoded today, however zstd packs it") {
    SimEnv env(1);
    REQUIRE(env.create_dirs("/seg").ok());
    auto writer = SegmentWriter::create(env, "/seg/g", golden_identity(), golden_options()).value();
    const History history = segment_golden_history();
    for (const OwnRecord& record : history) REQUIRE(writer->add(record.view()).ok());
    SegmentLineage lineage;
    lineage.inputs = {4, 6};
    REQUIRE(writer->finish({Seq{1}, Seq{300}}, lineage).ok());
    const std::string made = env.read_file("/seg/g").value();
    if (std::getenv("KLOG_WRITE_GOLDEN") != nullptr) {
        std::ofstream(segment_golden_path(kGoldenName), std::ios::binary) << made;
    }
    SegmentParts today(made);
    SegmentParts golden(read_golden_segment(kGoldenName));
    CHECK(dump_root(today.root) == dump_root(golden.root));
    for (const SectionType type :
         {SectionType::topic_pages, SectionType::key_pages, SectionType::filter_pages,
          SectionType::id_pages, SectionType::residue_head_pages, SectionType::residue_id_pages}) {
        PageTable today_table;
        PageTable golden_table;
        CHECK(today.pages(type, today_table) == golden.pages(type, golden_table));
        CHECK(today_table.keys == golden_table.keys);
    }
    CHECK(today.unpacked(SectionType::lineage) == golden.unpacked(SectionType::lineage));
    CHECK(today.unpacked(SectionType::partitions) == golden.unpacked(SectionType::partitions));
    CHECK(made.substr(0, kSegmentHeaderBytes) ==
          read_golden_segment(kGoldenName).substr(0, kSegmentHeaderBytes));
}

TEST_CASE("segment format: the golden file is read as it always was") {
    SimEnv env(1);
    REQUIRE(env.create_dirs("/seg").ok());
    const std::string bytes = read_golden_segment(kGoldenName);
    REQUIRE(env.write_file("/seg/g", bytes).ok());
    const auto reader = SegmentReader::open(env, "/seg/g", nullptr, nullptr);
    REQUIRE_MESSAGE(reader.ok(), (reader.ok() ? "" : reader.error().message));
    CHECK_FALSE(reader.value()->dictionary().value().empty());
    CHECK(reader.value()->verify(true, {}).ok());
    const std::string dump = dump_segment(*reader.value(), SegmentParts(bytes).root);
    if (std::getenv("KLOG_WRITE_GOLDEN") != nullptr) {
        std::ofstream(segment_golden_path("dump.txt")) << dump;
    }
    CHECK(dump == read_golden_segment("dump.txt"));
}

TEST_CASE("segment format: a table comes back, and finds the page of a key") {
    PageTable table;
    SectionRef pages;
    pages.offset = 64;
    for (std::uint32_t i = 0; i < 50; ++i) {
        PageRef page;
        page.stored_bytes = 100 + i;
        page.unpacked_bytes = 100 + i;
        page.entries = i + 1;
        page.crc = i * 7;
        pages.stored_bytes += page.stored_bytes;
        pages.entries += page.entries;
        table.add(page, big_endian(1000 * (i + 1)));
    }
    const std::string bytes = encode_table(table);
    const auto back = decode_table(bytes, pages, "f");
    REQUIRE_MESSAGE(back.ok(), (back.ok() ? "" : back.error().message));
    std::uint64_t offset = 64;
    for (std::size_t i = 0; i < 50; ++i) {
        CHECK(back->pages[i].offset == offset);
        CHECK(back->pages[i].crc == i * 7);
        CHECK(back->key(i) == table.key(i));
        offset += back->pages[i].stored_bytes;
    }
    CHECK(back->page_of(big_endian(0)) == 0);
    CHECK(back->page_of(big_endian(1000)) == 0);
    CHECK(back->page_of(big_endian(1999)) == 0);
    CHECK(back->page_of(big_endian(2000)) == 1);
    CHECK(back->page_of(big_endian(UINT64_MAX)) == 49);
    for (std::size_t cut = 0; cut < bytes.size(); ++cut) {
        CHECK_FALSE(decode_table(bytes.substr(0, cut), pages, "f").ok());
    }
    CHECK_FALSE(decode_table(bytes + "x", pages, "f").ok());
    PageTable falling = table;
    falling.keys.replace(8, 8, big_endian(5));
    CHECK_FALSE(decode_table(encode_table(falling), pages, "f").ok());
}

TEST_CASE("segment format: sizes that packed bytes cannot justify") {
    const auto zstd = static_cast<std::uint8_t>(SegmentCodec::zstd);
    CHECK(size_is_justified(100, 100, 0));
    CHECK_FALSE(size_is_justified(101, 100, 0));
    CHECK(size_is_justified(128 * 1024, 4, zstd));
    CHECK_FALSE(size_is_justified(256 * 1024, 4, zstd));
    CHECK_FALSE(size_is_justified(UINT64_MAX, 1'000'000, zstd));
    // What packs best of all is within the bound.
    const std::string zeros(80U << 20U, '\0');
    std::string packed;
    Packer packer(19);
    REQUIRE(packer.pack(zeros, packed, false).value() == SegmentCodec::zstd);
    CHECK(size_is_justified(zeros.size(), packed.size(), zstd));
}
