#include "segment/segment_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/coding.h"
#include "base/crc32c.h"
#include "segment/segment_reader_impl.h"

namespace klog {
namespace {

using Cached = SegmentReaderImpl::Cached;

// What is unpacked, as the page cache keeps it.
std::shared_ptr<Frame> make_frame() {
    auto frame = std::make_shared<Frame>();
    frame->header.header_bytes = 0;
    return frame;
}

// The dictionary in the page cache. Its frame holds no bytes but says how much it takes.
struct DictionaryPage : Frame {
    explicit DictionaryPage(std::string_view dictionary) : prepared(dictionary) {
        bytes.reserve(dictionary.size() + UnpackDictionary::kPreparedBytes);
    }
    UnpackDictionary prepared;
};

// nullptr: it is the expected one.
const char* first_difference(const SegmentEntry& expected, const SegmentStats& stats,
                             const Hash128& root_hash) {
    if (stats.segment_id != expected.segment_id) return "the segment_id";
    if (stats.log_id != expected.log_id) return "the log";
    if (stats.generation != expected.generation) return "the generation";
    if (stats.covered != expected.covered) return "the range of seqs that it covers";
    if (stats.held != expected.held) return "the range of seqs that it holds";
    if (stats.records != expected.records) return "the number of records";
    if (stats.payload_bytes != expected.payload_bytes) return "the bytes of records";
    if (stats.first_time != expected.first_time) return "the first time";
    if (stats.last_time != expected.last_time) return "the last time";
    if (root_hash != expected.root_hash) return "the hash of its root";
    return nullptr;
}

Error not_expected(const std::string& path, std::string_view what) {
    return {Code::corrupt,
            fmt::format("segment {} is another one than the set of segments names: {} differs",
                        path, what),
            "put the right file back from a copy"};
}

// All but the root's own contents, which decode_root checks.
Status check_size(const std::string& path, std::uint64_t file_bytes, const SegmentEntry* expected) {
    if (expected != nullptr && expected->file_bytes != file_bytes) {
        return not_expected(path, fmt::format("its size, {} bytes instead of {},", file_bytes,
                                              expected->file_bytes));
    }
    if (file_bytes < kSegmentHeaderBytes + kSegmentTrailerBytes) {
        return segment_corrupt(path, file_bytes, "it is too short for a segment");
    }
    return {};
}

}  // namespace

Result<std::shared_ptr<SegmentReader>> SegmentReader::open(Env& env, const std::string& path,
                                                           const SegmentEntry* expected,
                                                           std::shared_ptr<PageCache> cache) {
    KLOG_TRY_ASSIGN(auto file, env.open(path, OpenMode::read));
    KLOG_TRY_ASSIGN(const std::uint64_t file_bytes, file->size());
    KLOG_TRY(check_size(path, file_bytes, expected));
    // What is not known beforehand is read with the rest, in one call.
    std::uint64_t wanted = expected != nullptr ? expected->root_bytes : kSegmentRootBytesMax;
    wanted = std::clamp<std::uint64_t>(wanted, kSegmentTrailerBytes, kSegmentRootBytesMax);
    wanted = std::min(wanted, file_bytes);
    std::string tail(static_cast<std::size_t>(wanted), '\0');
    KLOG_TRY_ASSIGN(const std::size_t got, file->read_at(file_bytes - wanted, tail));
    if (got != tail.size()) return segment_corrupt(path, file_bytes, "it ends too early");
    const std::string_view trailer =
        std::string_view(tail).substr(tail.size() - kSegmentTrailerBytes);
    KLOG_TRY_ASSIGN(const std::uint32_t root_bytes, root_bytes_of(trailer, file_bytes, path));
    if (expected != nullptr && root_bytes != expected->root_bytes) {
        return not_expected(path, "the size of its root");
    }
    if (root_bytes > tail.size()) {
        return segment_corrupt(path, file_bytes, "its trailer points nowhere");
    }
    const std::string_view bytes = std::string_view(tail).substr(tail.size() - root_bytes);
    KLOG_TRY_ASSIGN(SegmentRoot root, decode_root(bytes, file_bytes, path));
    if (expected != nullptr) {
        const char* const what =
            first_difference(*expected, root.stats, segment_root_hash(root.stats.hash_key, bytes));
        if (what != nullptr) return not_expected(path, what);
    }
    return std::shared_ptr<SegmentReader>(std::make_shared<SegmentReaderImpl>(
        path, std::move(file), file_bytes, std::move(root), std::move(cache)));
}

SegmentReaderImpl::SegmentReaderImpl(std::string path, std::unique_ptr<File> file,
                                     std::uint64_t file_bytes, SegmentRoot root,
                                     std::shared_ptr<PageCache> cache)
    : path_(std::move(path)),
      file_(std::move(file)),
      file_bytes_(file_bytes),
      root_(std::move(root)),
      cache_(std::move(cache)) {}

Status SegmentReaderImpl::read_exact(std::uint64_t offset, std::span<char> out) const {
    KLOG_TRY_ASSIGN(const std::size_t got, file_->read_at(offset, out));
    if (got != out.size()) return corrupt_at(offset + got, "it ends too early");
    return {};
}

Result<std::string> SegmentReaderImpl::read_section(SectionType type) const {
    const SectionRef& ref = section(type);  // its sizes were checked
    std::string stored(static_cast<std::size_t>(ref.stored_bytes), '\0');
    KLOG_TRY(read_exact(ref.offset, stored));
    if (crc32c(stored) != ref.crc) {
        return corrupt_at(ref.offset, fmt::format("its {} fails its checksum", section_name(type)));
    }
    std::string bytes;
    if (!unpack(stored, ref.codec, nullptr, static_cast<std::size_t>(ref.unpacked_bytes), bytes)) {
        return corrupt_at(ref.offset, fmt::format("its {} does not unpack", section_name(type)));
    }
    return bytes;
}

Result<std::shared_ptr<const PageTable>> SegmentReaderImpl::table(SectionType pages) {
    const auto at = static_cast<std::size_t>(pages);
    {
        const MutexLock lock(mutex_);
        if (tables_[at] != nullptr) return tables_[at];
    }
    KLOG_TRY_ASSIGN(const std::string bytes, read_section(table_of(pages)));
    KLOG_TRY_ASSIGN(PageTable decoded, decode_table(bytes, section(pages), path_));
    auto made = std::make_shared<const PageTable>(std::move(decoded));
    const MutexLock lock(mutex_);
    if (tables_[at] == nullptr) tables_[at] = std::move(made);
    return tables_[at];
}

Result<std::shared_ptr<const Frame>> SegmentReaderImpl::page(SectionType pages,
                                                             std::uint32_t number, Cached cached) {
    const PageCache::Key key{stats().segment_id, static_cast<std::uint32_t>(pages), number};
    const bool use_cache = cached == Cached::yes && cache_ != nullptr;
    if (use_cache) {
        if (auto found = cache_->find(key)) return found;
    }
    KLOG_TRY_ASSIGN(const auto table_held, table(pages));
    KLOG_ASSERT(number < table_held->pages.size());
    const PageRef& ref = table_held->pages[number];
    std::string stored(ref.stored_bytes, '\0');
    KLOG_TRY(read_exact(ref.offset, stored));
    if (crc32c(stored) != ref.crc) {
        return corrupt_at(ref.offset,
                          fmt::format("one of its {} fails its checksum", section_name(pages)));
    }
    auto frame = make_frame();
    if (!unpack(stored, ref.codec, nullptr, ref.unpacked_bytes, frame->bytes)) {
        return corrupt_at(ref.offset,
                          fmt::format("one of its {} does not unpack", section_name(pages)));
    }
    frame->header.payload_bytes = ref.unpacked_bytes;
    if (use_cache) cache_->put(key, frame);
    return std::shared_ptr<const Frame>(std::move(frame));
}

Result<std::vector<BlockInfo>> SegmentReaderImpl::index_page(std::uint32_t number, Cached cached) {
    KLOG_TRY_ASSIGN(const auto table_held, table(SectionType::index_pages));
    // Only the last page may hold fewer, so that a block's page is known by its number.
    const std::uint64_t before = std::uint64_t{number} * kSegmentIndexPageBlocks;
    const PageRef& ref = table_held->pages[number];
    if (ref.entries != std::min<std::uint64_t>(kSegmentIndexPageBlocks, root_.blocks - before)) {
        return corrupt_at(ref.offset, "a page of its block index has another size");
    }
    KLOG_TRY_ASSIGN(const auto frame, page(SectionType::index_pages, number, cached));
    std::vector<BlockInfo> infos;
    if (!decode_index_page(frame->payload(), table_held->key(number), ref.entries,
                           section(SectionType::blocks), infos)) {
        return corrupt_at(ref.offset, "a page of its block index is damaged");
    }
    return infos;
}

Result<BlockInfo> SegmentReaderImpl::block_info(std::uint32_t block) {
    KLOG_ASSERT(block < blocks());
    KLOG_TRY_ASSIGN(const auto infos, index_page(block / kSegmentIndexPageBlocks, Cached::yes));
    return infos[block % kSegmentIndexPageBlocks];
}

Error SegmentReaderImpl::corrupt_block(std::uint32_t block, const BlockInfo& info,
                                       std::string_view what) const {
    return corrupt_at(info.offset, fmt::format("block {} (seqs {} to {}) {}", block,
                                               info.held.first.value, info.held.last.value, what));
}

Result<std::shared_ptr<const UnpackDictionary>> SegmentReaderImpl::unpack_dictionary() {
    {
        const MutexLock lock(mutex_);
        if (auto held = dictionary_.lock()) return held;
    }
    KLOG_TRY_ASSIGN(const std::string bytes, read_section(SectionType::dictionary));
    const auto made = std::make_shared<const DictionaryPage>(bytes);
    const std::shared_ptr<const UnpackDictionary> prepared(made, &made->prepared);
    if (cache_ != nullptr) {
        cache_->put({stats().segment_id, static_cast<std::uint32_t>(SectionType::dictionary), 0},
                    made);
    }
    const MutexLock lock(mutex_);
    dictionary_ = prepared;
    if (cache_ == nullptr) dictionary_kept_ = prepared;
    return prepared;
}

Result<std::shared_ptr<const Frame>> SegmentReaderImpl::unpack_block(std::uint32_t block,
                                                                     const BlockInfo& info,
                                                                     std::string_view stored) {
    if (crc32c(stored) != info.crc) return corrupt_block(block, info, "fails its checksum");
    std::shared_ptr<const UnpackDictionary> prepared;
    if (info.codec == static_cast<std::uint8_t>(SegmentCodec::zstd_dictionary)) {
        KLOG_TRY_ASSIGN(prepared, unpack_dictionary());
    }
    auto frame = make_frame();
    if (!unpack(stored, info.codec, prepared.get(), info.payload_bytes, frame->bytes)) {
        return corrupt_block(block, info, "does not unpack");
    }
    frame->header.log_id = stats().log_id;
    frame->header.first_seq = info.held.first;
    frame->header.base_time = info.first_time;
    frame->header.count = info.count;
    frame->header.payload_bytes = info.payload_bytes;
    return std::shared_ptr<const Frame>(std::move(frame));
}

Result<std::shared_ptr<const Frame>> SegmentReaderImpl::block(std::uint32_t block,
                                                              std::uint32_t ahead) {
    KLOG_ASSERT(block < blocks());
    PageCache::Key key{stats().segment_id, static_cast<std::uint32_t>(SectionType::blocks), block};
    if (cache_ != nullptr) {
        if (auto found = cache_->find(key)) return found;
    }
    KLOG_TRY_ASSIGN(const auto infos, index_page(block / kSegmentIndexPageBlocks, Cached::yes));
    const std::size_t at = block % kSegmentIndexPageBlocks;
    // Neighbours in the file, as far as one page of the index and the limits go.
    std::size_t end = at + 1;
    std::uint64_t payload_bytes = infos[at].payload_bytes;
    const std::uint64_t wanted = cache_ != nullptr ? ahead : 0;
    while (end < infos.size() && end - at <= wanted) {
        const BlockInfo& next = infos[end];
        payload_bytes += next.payload_bytes;
        if (next.offset + next.stored_bytes - infos[at].offset > kReadAheadBytesMax ||
            payload_bytes > kReadAheadPayloadBytesMax) {
            break;
        }
        ++end;
    }
    const BlockInfo& last = infos[end - 1];
    std::string stored(static_cast<std::size_t>(last.offset + last.stored_bytes - infos[at].offset),
                       '\0');
    KLOG_TRY(read_exact(infos[at].offset, stored));
    std::shared_ptr<const Frame> answer;
    for (std::size_t i = at; i < end; ++i, ++key.page) {
        const auto part = std::string_view(stored).substr(
            static_cast<std::size_t>(infos[i].offset - infos[at].offset), infos[i].stored_bytes);
        auto unpacked = unpack_block(key.page, infos[i], part);
        if (i == at) {
            KLOG_TRY_ASSIGN(answer, std::move(unpacked));
            if (cache_ != nullptr) cache_->put(key, answer);
        } else if (unpacked.ok()) {
            cache_->put(key, unpacked.value());
        } else {
            break;  // nobody asked for it yet; whoever does is told
        }
    }
    return answer;
}

// As far as one page of the index goes.
Result<SegmentReader::StoredRun> SegmentReaderImpl::stored_run(std::uint32_t block,
                                                               std::size_t bytes_max,
                                                               const Wanted& wanted) {
    KLOG_ASSERT(block < blocks());
    KLOG_TRY_ASSIGN(const auto infos, index_page(block / kSegmentIndexPageBlocks, Cached::yes));
    const std::size_t begin = block % kSegmentIndexPageBlocks;
    std::size_t end = begin;
    std::size_t bytes = 0;
    while (end < infos.size() &&
           wanted(block + static_cast<std::uint32_t>(end - begin), infos[end])) {
        if (end > begin && bytes + infos[end].stored_bytes > bytes_max) break;
        bytes += infos[end].stored_bytes;
        ++end;
    }
    StoredRun run;
    if (end == begin) return run;
    std::string stored(bytes, '\0');
    KLOG_TRY(read_exact(infos[begin].offset, stored));
    std::size_t at = 0;
    for (std::size_t i = begin; i < end; ++i) {
        const BlockInfo& info = infos[i];
        const std::uint32_t crc = crc32c(std::string_view(stored).substr(at, info.stored_bytes));
        if (crc != info.crc) {
            // What lies before it is sound, and whoever asks for this one is told.
            if (i > begin) break;
            return corrupt_block(block, info, "fails its checksum");
        }
        at += info.stored_bytes;
        run.blocks.push_back(info);
    }
    run.bytes = std::make_shared<const std::string>(std::move(stored));
    return run;
}

Result<std::string> SegmentReaderImpl::dictionary() {
    return read_section(SectionType::dictionary);
}

Result<SegmentLineage> SegmentReaderImpl::lineage() {
    KLOG_TRY_ASSIGN(const std::string bytes, read_section(SectionType::lineage));
    ByteReader in(bytes);
    SegmentLineage lineage;
    lineage.wal_first = in.varint();
    lineage.wal_last = in.varint();
    lineage.purge_seq = in.varint();
    lineage.policy_seq = in.varint();
    const std::uint64_t inputs = in.varint();
    if (in.ok() && inputs <= in.left()) {
        for (std::uint64_t i = 0; i < inputs; ++i) lineage.inputs.push_back(in.varint());
    }
    if (!in.ok() || lineage.inputs.size() != inputs) {
        return corrupt_at(section(SectionType::lineage).offset, "its lineage is damaged");
    }
    return lineage;
}

}  // namespace klog
