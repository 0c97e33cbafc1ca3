// Puts records into a ReadChunk, up to its limits.
#ifndef KLOG_LOG_CHUNK_FILLER_H
#define KLOG_LOG_CHUNK_FILLER_H

#include <algorithm>
#include <cstddef>
#include <memory>

#include "klog/log.h"
#include "segment/wal_format.h"

namespace klog {

class ChunkFiller {
public:
    ChunkFiller(ReadChunk& chunk, std::size_t bytes_max, std::size_t records_max)
        : chunk_(chunk), bytes_left_(bytes_max), records_max_(records_max) {}

    // The chunk holds what the record's views point into. False: there is no room for it; the first
    // record always has room.
    [[nodiscard]] bool add(const RecordView& record, const std::shared_ptr<const Frame>& frame) {
        const std::size_t bytes =
            record.value.size() + record.topic.size() + record.key.size() + kAroundBytes;
        if (!chunk_.records.empty() && (bytes > bytes_left_ || full())) return false;
        if (chunk_.pins.empty() || chunk_.pins.back() != frame) chunk_.pins.push_back(frame);
        chunk_.records.push_back(record);
        bytes_left_ -= std::min(bytes, bytes_left_);
        return true;
    }

    [[nodiscard]] bool full() const {
        return bytes_left_ == 0 || chunk_.records.size() >= records_max_;
    }
    [[nodiscard]] bool empty() const { return chunk_.records.empty(); }

private:
    // A record's other fields, about.
    static constexpr std::size_t kAroundBytes = 64;

    ReadChunk& chunk_;
    std::size_t bytes_left_;
    std::size_t records_max_;
};

}  // namespace klog

#endif  // KLOG_LOG_CHUNK_FILLER_H
