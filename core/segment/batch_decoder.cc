#include "segment/batch_decoder.h"

#include <zstd.h>

#include "base/crc32c.h"

namespace klog {
namespace {

Error damaged(const char* what) {
    return Error{Code::corrupt, std::string("the answer is damaged: ") + what, {}};
}

struct FreeContext {
    void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};
struct FreeDictionary {
    void operator()(ZSTD_DDict* dictionary) const { ZSTD_freeDDict(dictionary); }
};

}  // namespace

class BatchDecoder::Unpacker {
public:
    Status set_dictionary(std::string_view bytes) {
        dictionary_.reset(ZSTD_createDDict(bytes.data(), bytes.size()));
        if (!dictionary_) return damaged("its dictionary is none");
        return {};
    }

    // The view lives until the next call.
    Result<std::string_view> unpack(const BatchHeader& header, std::string_view stored) {
        if (!context_) context_.reset(ZSTD_createDCtx());
        if (!context_) return Error{Code::io, "there is no memory for unpacking", {}};
        const bool with_dictionary = header.codec == BatchCodec::zstd_dictionary;
        if (with_dictionary && !dictionary_) return damaged("a dictionary is missing");
        // A stream that says how long it is says the same as the frame, or nothing is allocated.
        const unsigned long long told = ZSTD_getFrameContentSize(stored.data(), stored.size());
        if (told == ZSTD_CONTENTSIZE_ERROR ||
            (told != ZSTD_CONTENTSIZE_UNKNOWN && told != header.payload_bytes)) {
            return damaged("a frame does not unpack");
        }
        payload_.resize(header.payload_bytes);
        const std::size_t got =
            with_dictionary
                ? ZSTD_decompress_usingDDict(context_.get(), payload_.data(), payload_.size(),
                                             stored.data(), stored.size(), dictionary_.get())
                : ZSTD_decompressDCtx(context_.get(), payload_.data(), payload_.size(),
                                      stored.data(), stored.size());
        if (ZSTD_isError(got) != 0 || got != payload_.size()) {
            return damaged("a frame does not unpack");
        }
        return std::string_view(payload_);
    }

private:
    std::unique_ptr<ZSTD_DCtx, FreeContext> context_;
    std::unique_ptr<ZSTD_DDict, FreeDictionary> dictionary_;
    std::string payload_;
};

BatchDecoder::BatchDecoder() = default;
BatchDecoder::~BatchDecoder() = default;

void BatchDecoder::feed(std::string bytes) {
    if (at_ == buffer_.size()) {
        buffer_ = std::move(bytes);
    } else {
        buffer_.erase(0, at_);
        buffer_.append(bytes);
    }
    at_ = 0;
}

Result<bool> BatchDecoder::next(BatchFrame& frame) {
    if (failed_) return damaged("it was broken before");
    Result<bool> taken = take(frame);
    failed_ = !taken.ok();
    return taken;
}

Result<bool> BatchDecoder::take(BatchFrame& frame) {
    while (at_ < buffer_.size()) {
        if (ended_) return damaged("bytes follow its end");
        const std::string_view rest = std::string_view(buffer_).substr(at_);
        KLOG_TRY_ASSIGN(const std::optional<BatchHeader> header, decode_batch_header(rest));
        if (!header) return false;
        const std::size_t total = std::size_t{header->header_bytes} + header->stored_bytes;
        if (rest.size() < total) return false;
        const std::string_view stored = rest.substr(header->header_bytes, header->stored_bytes);
        if (crc32c(stored) != header->stored_crc) return damaged("the checksum of a frame");
        at_ += total;
        const bool packed = header->codec != BatchCodec::plain;
        if ((packed || header->type == BatchType::dictionary) && !unpacker_) {
            unpacker_ = std::make_unique<Unpacker>();
        }
        if (header->type == BatchType::dictionary) {
            KLOG_TRY(unpacker_->set_dictionary(stored));
            continue;
        }
        frame.header = *header;
        frame.payload = stored;
        if (packed) {
            KLOG_TRY_ASSIGN(frame.payload, unpacker_->unpack(*header, stored));
        }
        ended_ = header->type == BatchType::end || header->type == BatchType::error;
        return true;
    }
    return false;
}

}  // namespace klog
