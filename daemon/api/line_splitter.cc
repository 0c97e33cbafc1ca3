#include "daemon/api/line_splitter.h"

#include <algorithm>
#include <utility>

namespace klog::api {
namespace {

bool is_blank(const Line& line) {
    return std::all_of(line.data, line.data + line.size,
                       [](char c) { return c == ' ' || c == '\t' || c == '\r'; });
}

}  // namespace

void LineSplitter::feed(std::shared_ptr<std::string> bytes, bool last) {
    chunk_ = std::move(bytes);
    at_ = 0;
    last_ = last;
}

std::optional<Line> LineSplitter::next() {
    for (;;) {
        std::optional<Line> line = cut();
        if (!line || line->too_long || !is_blank(*line)) return line;
    }
}

// Appends a piece of an unfinished line to what came before it.
void LineSplitter::carry_on(std::size_t begin, std::size_t end) {
    if (carry_ == nullptr) carry_ = std::make_shared<std::string>();
    if (dropping_) return;
    if (carry_->size() + (end - begin) > line_bytes_max_) {
        dropping_ = true;
        carry_->clear();
        carry_->shrink_to_fit();
        return;
    }
    carry_->append(*chunk_, begin, end - begin);
}

std::optional<Line> LineSplitter::cut() {
    if (skipping_ && chunk_ != nullptr) {
        const std::size_t end = chunk_->find('\n', at_);
        skipping_ = end == std::string::npos;
        at_ = skipping_ ? chunk_->size() : end + 1;
    }
    const std::size_t begin = at_;
    const std::size_t end = chunk_ == nullptr ? std::string::npos : chunk_->find('\n', at_);
    if (end == std::string::npos) {  // no whole line is left in the chunk
        if (chunk_ != nullptr && begin < chunk_->size()) carry_on(begin, chunk_->size());
        chunk_.reset();
        // A line that is too long may have no end at all.
        if (dropping_) {
            skipping_ = true;
            return take_carry();
        }
        if (!last_ || carry_ == nullptr) return std::nullopt;
        return take_carry();
    }
    at_ = end + 1;
    if (carry_ != nullptr) {
        carry_on(begin, end);
        return take_carry();
    }
    Line line;
    line.number = ++number_;
    line.owner = chunk_;
    line.data = chunk_->data() + begin;
    line.size = end - begin;
    line.too_long = line.size > line_bytes_max_;
    return line;
}

Line LineSplitter::take_carry() {
    Line line;
    line.number = ++number_;
    line.owner = std::move(carry_);
    carry_.reset();
    line.too_long = std::exchange(dropping_, false);
    line.data = line.owner->data();
    line.size = line.owner->size();
    return line;
}

}  // namespace klog::api
