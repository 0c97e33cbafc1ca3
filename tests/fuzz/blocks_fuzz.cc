// The bytes of a block, a page, a table, a root: hostile ones end in a refusal.
#include <string>
#include <vector>

#include "fuzz/fuzz.h"
#include "segment/record_codec.h"
#include "segment/segment_codec.h"
#include "segment/segment_format.h"
#include "segment/segment_pages.h"

using namespace klog;
using klog::fuzz::Input;
using klog::fuzz::require;

namespace {

constexpr std::size_t kUnpackedBytesMax = 1U << 20U;
constexpr std::uint32_t kBlocks = 40;

void block(Input in) {
    const std::uint8_t codec = in.byte();
    const std::size_t unpacked = in.number(3) % kUnpackedBytesMax;
    const std::string_view dictionary = in.bytes(in.number(2));
    const UnpackDictionary prepared(dictionary);
    std::string payload;
    if (!unpack(in.rest(), codec, &prepared, unpacked, payload)) return;
    require(payload.size() == unpacked, "no more and no less than was asked for");
    RecordDecoder decoder(payload, Seq{1}, Time{1}, 200);
    RecordView record;
    for (int i = 0; i <= 200; ++i) {
        const Result<bool> more = decoder.next(record);
        if (!more.ok() || !*more) return;
    }
    require(false, "no more records than were said");
}

void packed(Input in) {
    Packer packer(1 + in.byte() % 9);
    std::string stored;
    const auto codec = packer.pack(in.rest(), stored, false);
    require(codec.ok(), "whatever it is, it can be packed");
    const bool plain = codec.value() == SegmentCodec::plain;
    std::string back;
    require(unpack(plain ? in.rest() : std::string_view(stored),
                   static_cast<std::uint8_t>(codec.value()), nullptr, in.rest().size(), back),
            "what was packed unpacks");
    require(back == in.rest(), "to what it was");
}

void pages(Input in) {
    const std::uint32_t entries = in.byte();
    const std::string key(in.bytes(16));
    const std::string_view page = in.rest();
    SectionRef blocks;
    blocks.offset = kSegmentHeaderBytes;
    blocks.stored_bytes = 10'000;
    std::vector<BlockInfo> infos;
    if (decode_index_page(page, key, entries, blocks, infos)) {
        require(infos.size() == entries, "as many blocks as were said");
        if (entries > 0) {
            std::vector<BlockInfo> again;
            require(decode_index_page(encode_index_page(infos), index_key(infos[0]), entries,
                                      blocks, again),
                    "what was read can be written");
        }
    }
    BlockUnion held(kBlocks);
    TopicCursor topics(page, entries, Seq{1}, kBlocks);
    std::string before;
    while (topics.next()) {
        require(before.empty() || before < topics.topic(), "topics rise");
        before = topics.topic();
        topics.add_blocks(held);
    }
    FingerprintCursor fingerprints(page, entries, 5, kBlocks);
    std::uint64_t last = 0;
    while (fingerprints.next()) {
        require(fingerprints.fingerprint() > last, "fingerprints rise");
        last = fingerprints.fingerprint();
        fingerprints.add_blocks(held);
    }
    for (const std::uint32_t number : held.take()) require(number < kBlocks, "blocks that exist");
}

void table(Input in) {
    SectionRef section;
    section.offset = kSegmentHeaderBytes;
    section.stored_bytes = in.number(3);
    section.entries = in.number(3);
    const auto decoded = decode_table(in.rest(), section, "f");
    if (!decoded.ok()) return;
    for (const PageRef& page : decoded->pages) {
        require(page.offset + page.stored_bytes <= section.offset + section.stored_bytes,
                "pages lie in their section");
    }
    require(decode_table(encode_table(*decoded), section, "f").ok(), "it can be written again");
}

void root(Input in) {
    const std::uint64_t before = in.number(2);
    const std::string_view bytes = in.rest();
    const auto decoded = decode_root(bytes, bytes.size() + before, "f");
    require(decoded.ok() || !decoded.error().message.empty(), "a refusal says why");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Input in(data, size);
    switch (in.byte() % 5) {
        case 0:
            block(in);
            break;
        case 1:
            packed(in);
            break;
        case 2:
            pages(in);
            break;
        case 3:
            table(in);
            break;
        default:
            root(in);
    }
    return 0;
}
