// The reader of a segment behind its interface. Private to core/segment.
#ifndef KLOG_SEGMENT_SEGMENT_READER_IMPL_H
#define KLOG_SEGMENT_SEGMENT_READER_IMPL_H

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/mutex.h"
#include "segment/segment_codec.h"
#include "segment/segment_format.h"
#include "segment/segment_pages.h"
#include "segment/segment_reader.h"

namespace klog {

// Memory: the root's fields, a table of each section once it was asked for (about 45 bytes a page;
// a page holds about 500 keys or 300 topics; kSegmentTableBytesMax each at most), and nothing else:
// pages, blocks and the dictionary stand in the page cache. Without a cache the dictionary is kept.
class SegmentReaderImpl final : public SegmentReader {
public:
    // Read at once, stored, where a reader wants several blocks. Unit: bytes.
    static constexpr std::uint64_t kReadAheadBytesMax = 256U * 1024;
    static constexpr std::uint64_t kReadAheadPayloadBytesMax = 2U << 20U;

    enum class Cached : std::uint8_t { no, yes };

    SegmentReaderImpl(std::string path, std::unique_ptr<File> file, std::uint64_t file_bytes,
                      SegmentRoot root, std::shared_ptr<PageCache> cache);

    [[nodiscard]] const SegmentStats& stats() const override { return root_.stats; }
    [[nodiscard]] const std::string& path() const override { return path_; }
    [[nodiscard]] std::uint32_t blocks() const override { return root_.blocks; }
    [[nodiscard]] Result<SegmentLineage> lineage() override;
    [[nodiscard]] Result<std::uint32_t> find_block(Seq seq) override;
    [[nodiscard]] Result<std::uint32_t> find_block(Time time) override;
    [[nodiscard]] Result<BlockInfo> block_info(std::uint32_t block) override;
    [[nodiscard]] Result<std::shared_ptr<const Frame>> block(std::uint32_t block,
                                                             std::uint32_t ahead) override;
    [[nodiscard]] Result<StoredRun> stored_run(std::uint32_t block, std::size_t bytes_max,
                                               const Wanted& wanted) override;
    [[nodiscard]] Result<std::string> dictionary() override;
    [[nodiscard]] Result<TopicBlocks> blocks_of(const FilterSet& set) override;
    [[nodiscard]] Result<std::vector<std::uint32_t>> blocks_of_others(
        const FilterSet& set) override;
    [[nodiscard]] std::uint64_t topics() const override {
        return section(SectionType::topic_pages).entries;
    }
    [[nodiscard]] Result<TopicCount> count(const FilterSet& set) override;
    Status each_topic(std::string_view prefix, std::string_view from,
                      const VisitTopic& visit) override;
    [[nodiscard]] Result<std::vector<std::uint32_t>> blocks_of_entity(
        const Hash128& entity) override;
    [[nodiscard]] Result<std::vector<std::uint32_t>> blocks_of_id(const Hash128& id) override;
    Status verify(bool deep, const std::function<void(std::uint64_t)>& progress) override;
    Status verify_records(const std::function<void(std::uint64_t)>& progress,
                          const VisitRecord& visit) override;

    // --- For the parts of the reader. ---

    [[nodiscard]] const SegmentRoot& root() const { return root_; }
    [[nodiscard]] const SectionRef& section(SectionType type) const { return root_.section(type); }
    [[nodiscard]] Error corrupt_at(std::uint64_t offset, std::string_view what) const {
        return segment_corrupt(path_, offset, what);
    }
    // Exactly so many bytes. Errors: corrupt (the file ends before), io.
    Status read_exact(std::uint64_t offset, std::span<char> out) const;
    // A section in one piece, checked and unpacked.
    [[nodiscard]] Result<std::string> read_section(SectionType type) const;
    [[nodiscard]] Result<std::shared_ptr<const PageTable>> table(SectionType pages);
    // Checked and unpacked; payload() is its bytes.
    [[nodiscard]] Result<std::shared_ptr<const Frame>> page(SectionType pages, std::uint32_t number,
                                                            Cached cached);
    // The blocks of a page of the index.
    [[nodiscard]] Result<std::vector<BlockInfo>> index_page(std::uint32_t number, Cached cached);
    // stored: the bytes of the block.
    [[nodiscard]] Result<std::shared_ptr<const Frame>> unpack_block(std::uint32_t block,
                                                                    const BlockInfo& info,
                                                                    std::string_view stored);
    [[nodiscard]] Error corrupt_block(std::uint32_t block, const BlockInfo& info,
                                      std::string_view what) const;

private:
    Status verify_file(bool deep, const std::function<void(std::uint64_t)>& progress,
                       const VisitRecord& visit);
    static constexpr std::size_t kTables = kSectionTypes;

    [[nodiscard]] Result<std::shared_ptr<const UnpackDictionary>> unpack_dictionary();
    // The first block for which `reaches` holds; it holds for all blocks behind that one.
    template <class KeyReaches, class Reaches>
    Result<std::uint32_t> find_first(KeyReaches&& key_reaches, Reaches&& reaches);
    [[nodiscard]] Result<bool> may_hold(std::uint64_t fingerprint);
    [[nodiscard]] Result<std::vector<std::uint32_t>> blocks_of_fingerprint(
        SectionType pages, std::uint64_t fingerprint);
    using VisitMatch = std::function<void(const TopicCursor&)>;
    Status each_match(const FilterSet& set, const VisitMatch& visit);
    [[nodiscard]] Result<std::vector<std::uint32_t>> blocks_of_all();

    const std::string path_;
    const std::unique_ptr<File> file_;
    const std::uint64_t file_bytes_;
    const SegmentRoot root_;
    const std::shared_ptr<PageCache> cache_;

    Mutex mutex_;
    std::array<std::shared_ptr<const PageTable>, kTables> tables_ KLOG_GUARDED_BY(mutex_);
    std::weak_ptr<const UnpackDictionary> dictionary_ KLOG_GUARDED_BY(mutex_);
    std::shared_ptr<const UnpackDictionary> dictionary_kept_ KLOG_GUARDED_BY(mutex_);
};

// Walks the topics of a segment from a page on, in order, page by page.
class TopicWalk {
public:
    TopicWalk(SegmentReaderImpl& reader, std::uint32_t page, SegmentReaderImpl::Cached cached)
        : reader_(&reader), page_(page), cached_(cached) {}
    // True: cursor() stands at the next one. False: the end. Errors: corrupt, io.
    [[nodiscard]] Result<bool> next();
    [[nodiscard]] const TopicCursor& cursor() const { return *cursor_; }

private:
    SegmentReaderImpl* reader_;
    std::uint32_t page_;  // the next one
    SegmentReaderImpl::Cached cached_;
    std::shared_ptr<const PageTable> table_;
    std::shared_ptr<const Frame> frame_;
    std::optional<TopicCursor> cursor_;
    std::string last_;
};

// The same for fingerprints.
class FingerprintWalk {
public:
    FingerprintWalk(SegmentReaderImpl& reader, SectionType pages, std::uint32_t page,
                    SegmentReaderImpl::Cached cached)
        : reader_(&reader), type_(pages), page_(page), cached_(cached) {}
    [[nodiscard]] Result<bool> next();
    [[nodiscard]] const FingerprintCursor& cursor() const { return *cursor_; }

private:
    SegmentReaderImpl* reader_;
    SectionType type_;
    std::uint32_t page_;  // the next one
    SegmentReaderImpl::Cached cached_;
    std::shared_ptr<const PageTable> table_;
    std::shared_ptr<const Frame> frame_;
    std::optional<FingerprintCursor> cursor_;
    std::optional<std::uint64_t> last_;
};

}  // namespace klog

#endif  // KLOG_SEGMENT_SEGMENT_READER_IMPL_H
