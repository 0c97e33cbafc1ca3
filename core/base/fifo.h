// A queue for what is empty nearly always: it costs three words while it is, where std::deque
// takes 600 bytes for good.
#ifndef KLOG_BASE_FIFO_H
#define KLOG_BASE_FIFO_H

#include <cstddef>
#include <utility>
#include <vector>

namespace klog {

// One thread at a time. What is behind the front moves when something is added or taken, so no
// reference outlives that.
template <class T>
class Fifo {
public:
    // Room for so many items is kept when the queue runs empty.
    static constexpr std::size_t kKeptMax = 4;

    [[nodiscard]] bool empty() const { return first_ == items_.size(); }
    [[nodiscard]] std::size_t size() const { return items_.size() - first_; }
    [[nodiscard]] T& front() { return items_[first_]; }
    [[nodiscard]] const T& front() const { return items_[first_]; }
    [[nodiscard]] T& back() { return items_.back(); }
    [[nodiscard]] const T& back() const { return items_.back(); }
    // Oldest first.
    [[nodiscard]] auto begin() { return items_.begin() + static_cast<std::ptrdiff_t>(first_); }
    [[nodiscard]] auto end() { return items_.end(); }

    void push_back(T item) { items_.push_back(std::move(item)); }

    // Lets go of the front. Precondition: not empty.
    void pop_front() {
        items_[first_] = T();
        if (++first_ == items_.size()) {
            clear();
        } else if (first_ >= kMovedFrom && first_ > items_.size() / 2) {
            items_.erase(items_.begin(), begin());
            first_ = 0;
        }
    }

    void clear() {
        first_ = 0;
        if (items_.capacity() > kKeptMax) {
            std::vector<T>().swap(items_);  // an assignment would keep the room
        } else {
            items_.clear();
        }
    }

private:
    // Below that the gap in front of the queue is not worth moving the rest.
    static constexpr std::size_t kMovedFrom = 16;

    std::vector<T> items_;
    std::size_t first_ = 0;
};

}  // namespace klog

#endif  // KLOG_BASE_FIFO_H
