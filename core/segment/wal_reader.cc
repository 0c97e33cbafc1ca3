#include "segment/wal_reader.h"

#include <algorithm>

namespace klog {

namespace {

constexpr std::uint64_t kReadBytes = 256 * 1024;
// A reader that begins in the middle may want one frame only: its reads grow from here.
constexpr std::uint64_t kFirstReadBytes = 16 * 1024;

class FrameReader final : public WalFrameReader {
public:
    FrameReader(std::unique_ptr<File> file, WalFileState state, std::uint64_t from_offset)
        : file_(std::move(file)), state_(std::move(state)), at_(from_offset) {
        if (from_offset == kWalFileHeaderBytes) {
            chain_ = state_.header_crc;
            read_bytes_ = kReadBytes;
        }
    }

    Result<std::shared_ptr<const Frame>> next() override {
        if (at_ == state_.info.end) {
            if (chain_ && *chain_ != state_.end_chain) {
                return damage("the frames before it are not those that were written");
            }
            return std::shared_ptr<const Frame>();
        }
        if (state_.info.end - at_ < kFrameHeaderBytes) return damage("no frame fits there");
        KLOG_TRY(fill(kFrameHeaderBytes));
        const WalFileHeader& file = state_.info.header;
        auto header = decode_frame_header(window(), file.salt, file.wal_id, at_);
        if (!header) return damage("no sound frame header stands there");
        if (chain_ && header->prev_crc != *chain_) {
            return damage("the frame does not follow on the one before it");
        }
        const std::uint64_t total = header->total_bytes();
        if (total > state_.info.end - at_) return damage("the frame runs past the end");
        KLOG_TRY(fill(total));
        const std::string_view bytes = window().substr(0, static_cast<std::size_t>(total));
        const std::size_t body =
            std::size_t{header->header_bytes} + header->payload_bytes - kFrameHeaderBytes;
        if (payload_checksum(bytes.substr(kFrameHeaderBytes, body), file.salt) !=
            header->payload_crc) {
            return damage("the frame's checksum does not fit");
        }
        KLOG_TRY(check_frame_known(*header, bytes, state_.info.path));
        auto frame = std::make_shared<Frame>();
        frame->header = *header;
        frame->bytes = bytes;
        chain_ = header->header_crc;
        at_ += total;
        return std::shared_ptr<const Frame>(std::move(frame));
    }

    [[nodiscard]] std::uint64_t offset() const override { return at_; }

private:
    [[nodiscard]] Error damage(const char* what) const {
        return wal_damage(state_.info.path, at_, what);
    }

    // What the buffer holds from at_ on.
    [[nodiscard]] std::string_view window() const {
        if (at_ < buffer_at_ || at_ > buffer_at_ + buffer_.size()) return {};
        return std::string_view(buffer_).substr(static_cast<std::size_t>(at_ - buffer_at_));
    }

    // Makes window() hold `wanted` bytes, which lie before the end.
    Status fill(std::uint64_t wanted) {
        if (window().size() >= wanted) return {};
        const std::uint64_t length = std::min(std::max(wanted, read_bytes_), state_.info.end - at_);
        buffer_.resize(static_cast<std::size_t>(length));
        buffer_at_ = at_;
        read_bytes_ = std::min(read_bytes_ * 2, kReadBytes);
        auto got = file_->read_at(at_, buffer_);
        buffer_.resize(got.ok() ? got.value() : 0);
        if (!got.ok()) return std::move(got).error();
        if (buffer_.size() < wanted) return damage("the file ends before the frame does");
        return {};
    }

    std::unique_ptr<File> file_;
    WalFileState state_;
    std::uint64_t at_;
    std::optional<std::uint32_t> chain_;  // of the frame before at_, once it is known
    std::string buffer_;
    std::uint64_t buffer_at_ = 0;
    std::uint64_t read_bytes_ = kFirstReadBytes;
};

}  // namespace

Result<std::unique_ptr<WalFrameReader>> make_wal_frame_reader(Env& env, const WalFileState& state,
                                                              std::uint64_t from_offset) {
    if (from_offset < kWalFileHeaderBytes || from_offset > state.info.end) {
        return Error{Code::bad_request,
                     state.info.path + " has no frame at offset " + std::to_string(from_offset),
                     ""};
    }
    KLOG_TRY_ASSIGN(auto file, env.open(state.info.path, OpenMode::read));
    return std::unique_ptr<WalFrameReader>(
        std::make_unique<FrameReader>(std::move(file), state, from_offset));
}

Result<std::optional<std::string>> read_exactly(const File& file, std::uint64_t offset,
                                                std::uint64_t length) {
    KLOG_TRY_ASSIGN(const std::uint64_t size, file.size());
    if (offset > size || length > size - offset) return std::optional<std::string>();
    std::string bytes(static_cast<std::size_t>(length), '\0');
    KLOG_TRY_ASSIGN(const std::size_t got, file.read_at(offset, bytes));
    if (got != length) return std::optional<std::string>();
    return std::optional<std::string>(std::move(bytes));
}

Error wal_damage(const std::string& path, std::uint64_t offset, const std::string& what) {
    return {Code::corrupt, path + ": damaged at offset " + std::to_string(offset) + ": " + what,
            "acknowledged records stood there, so nothing is dropped; restore the file from a "
            "copy, then start again"};
}

}  // namespace klog
