// Cuts a body that arrives in pieces into lines, without copying those that lie within one piece.
#ifndef KLOG_DAEMON_API_LINE_SPLITTER_H
#define KLOG_DAEMON_API_LINE_SPLITTER_H

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace klog::api {

struct Line {
    std::uint64_t number = 0;  // from 1, empty ones counted
    char* data = nullptr;      // without its line feed; may be changed in place
    std::size_t size = 0;
    bool too_long = false;               // dropped, and told as soon as that is clear
    std::shared_ptr<std::string> owner;  // holds data
};

// One thread.
class LineSplitter {
public:
    explicit LineSplitter(std::size_t line_bytes_max) : line_bytes_max_(line_bytes_max) {}

    // More bytes; last: nothing follows, and what stands behind the last line feed is a line too.
    // Precondition: next() has nothing more to give.
    void feed(std::shared_ptr<std::string> bytes, bool last);

    // The next line that is not blank, or nothing until more is fed.
    [[nodiscard]] std::optional<Line> next();

    [[nodiscard]] bool ended() const { return last_ && chunk_ == nullptr && carry_ == nullptr; }
    // Bytes of a line whose end has not come yet.
    [[nodiscard]] std::size_t carried() const { return carry_ == nullptr ? 0 : carry_->size(); }
    // The number of the line that next() gave last, or is in the middle of.
    [[nodiscard]] std::uint64_t number() const { return number_; }

private:
    [[nodiscard]] std::optional<Line> cut();
    [[nodiscard]] Line take_carry();
    void carry_on(std::size_t begin, std::size_t end);

    std::size_t line_bytes_max_;
    std::shared_ptr<std::string> chunk_;  // being cut
    std::size_t at_ = 0;                  // in chunk_
    std::shared_ptr<std::string> carry_;  // a line whose end has not come yet
    bool dropping_ = false;               // the line grew too long
    bool skipping_ = false;               // and was told: skip to the next line feed
    bool last_ = false;
    std::uint64_t number_ = 0;
};

}  // namespace klog::api

#endif  // KLOG_DAEMON_API_LINE_SPLITTER_H
