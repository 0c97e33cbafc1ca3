#include "segment/missing_segment.h"

#include <utility>

namespace klog {
namespace {

class MissingSegment final : public SegmentReader {
public:
    MissingSegment(std::string path, const SegmentStats& stats, Error error)
        : path_(std::move(path)), stats_(stats), error_(std::move(error)) {}

    [[nodiscard]] const SegmentStats& stats() const override { return stats_; }
    [[nodiscard]] const std::string& path() const override { return path_; }
    [[nodiscard]] std::uint32_t blocks() const override { return 0; }
    [[nodiscard]] Result<SegmentLineage> lineage() override { return error_; }
    [[nodiscard]] Result<std::uint32_t> find_block(Seq /*seq*/) override { return error_; }
    [[nodiscard]] Result<std::uint32_t> find_block(Time /*time*/) override { return error_; }
    [[nodiscard]] Result<BlockInfo> block_info(std::uint32_t /*block*/) override { return error_; }
    [[nodiscard]] Result<std::shared_ptr<const Frame>> block(std::uint32_t /*block*/,
                                                             std::uint32_t /*ahead*/) override {
        return error_;
    }
    [[nodiscard]] Result<StoredRun> stored_run(std::uint32_t /*block*/, std::size_t /*bytes_max*/,
                                               const Wanted& /*wanted*/) override {
        return error_;
    }
    [[nodiscard]] Result<std::string> dictionary() override { return error_; }
    [[nodiscard]] Result<TopicBlocks> blocks_of(const FilterSet& /*set*/) override {
        return error_;
    }
    [[nodiscard]] Result<std::vector<std::uint32_t>> blocks_of_others(
        const FilterSet& /*set*/) override {
        return error_;
    }
    [[nodiscard]] std::uint64_t topics() const override { return 0; }
    [[nodiscard]] Result<TopicCount> count(const FilterSet& /*set*/) override { return error_; }
    Status each_topic(std::string_view /*prefix*/, std::string_view /*from*/,
                      const VisitTopic& /*visit*/) override {
        return error_;
    }
    [[nodiscard]] Result<std::vector<std::uint32_t>> blocks_of_entity(
        const Hash128& /*entity*/) override {
        return error_;
    }
    [[nodiscard]] Result<std::vector<std::uint32_t>> blocks_of_id(const Hash128& /*id*/) override {
        return error_;
    }
    Status verify(bool /*deep*/, const std::function<void(std::uint64_t)>& /*progress*/) override {
        return error_;
    }
    Status verify_records(const std::function<void(std::uint64_t)>& /*progress*/,
                          const VisitRecord& /*visit*/) override {
        return error_;
    }

private:
    const std::string path_;
    const SegmentStats stats_;
    const Error error_;
};

}  // namespace

std::shared_ptr<SegmentReader> make_missing_segment(std::string path, const SegmentEntry& entry,
                                                    Error error) {
    SegmentStats stats;
    stats.log_id = entry.log_id;
    stats.segment_id = entry.segment_id;
    stats.generation = entry.generation;
    stats.covered = entry.covered;
    stats.held = entry.held;
    stats.records = entry.records;
    stats.payload_bytes = entry.payload_bytes;
    stats.first_time = entry.first_time;
    stats.last_time = entry.last_time;
    return std::make_shared<MissingSegment>(std::move(path), stats, std::move(error));
}

}  // namespace klog
