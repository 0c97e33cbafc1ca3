// Reads the framed form of schemas/batch.md as its bytes come. Every byte that is used was checked
// first; a hostile stream ends in an error, never in a crash or a hang.
//
// Memory: one stored frame, one unpacked one (kBatchPayloadBytesMax each), one dictionary. What a
// frame claims is allocated only as far as these limits.
#ifndef KLOG_SEGMENT_BATCH_DECODER_H
#define KLOG_SEGMENT_BATCH_DECODER_H

#include <memory>
#include <string>
#include <string_view>

#include "segment/batch_format.h"

namespace klog {

struct BatchFrame {
    BatchHeader header;
    // Unpacked; of records RecordDecoder reads it, with first_seq, base_time and count of the
    // header. Lives until the next call of the decoder that gave it.
    std::string_view payload;
};

// One thread at a time.
class BatchDecoder {
public:
    BatchDecoder();
    ~BatchDecoder();
    BatchDecoder(const BatchDecoder&) = delete;
    BatchDecoder& operator=(const BatchDecoder&) = delete;

    // Bytes that came. Call next() until it gives false before the next ones.
    void feed(std::string bytes);
    // True: `frame` is the next one; dictionaries are kept and not shown. False: more bytes are
    // needed. Errors: corrupt (a checksum, sizes, what does not unpack, bytes behind the last
    // frame), format_unknown. After an error it gives no more frames.
    [[nodiscard]] Result<bool> next(BatchFrame& frame);
    // A frame came behind which nothing follows: an end, or an error.
    [[nodiscard]] bool ended() const { return ended_; }

private:
    class Unpacker;

    [[nodiscard]] Result<bool> take(BatchFrame& frame);

    std::string buffer_;
    std::size_t at_ = 0;                  // what stands before it in buffer_ was taken
    std::unique_ptr<Unpacker> unpacker_;  // made when something packed comes
    bool ended_ = false;
    bool failed_ = false;
};

}  // namespace klog

#endif  // KLOG_SEGMENT_BATCH_DECODER_H
