// A stream of bytes as lines.
#ifndef KLOG_CLI_LINES_H
#define KLOG_CLI_LINES_H

#include <cstring>
#include <string>
#include <string_view>

namespace klog::cli {

class LineSplitter {
public:
    // Calls each(line) for every line that is complete, without its line feed. What is behind the
    // last line feed is kept for the next chunk. each returns false to stop; the rest of the chunk
    // is then dropped.
    template <class Each>
    void feed(std::string_view chunk, Each&& each) {
        while (!chunk.empty()) {
            const void* found = std::memchr(chunk.data(), '\n', chunk.size());
            if (found == nullptr) {
                rest_.append(chunk);
                return;
            }
            const auto size =
                static_cast<std::size_t>(static_cast<const char*>(found) - chunk.data());
            std::string_view line = chunk.substr(0, size);
            if (!rest_.empty()) {
                rest_.append(line);
                line = rest_;
            }
            const bool go_on = each(line);
            rest_.clear();
            if (!go_on) return;
            chunk.remove_prefix(size + 1);
        }
    }

    // What came behind the last line feed.
    [[nodiscard]] const std::string& rest() const { return rest_; }

private:
    std::string rest_;
};

}  // namespace klog::cli

#endif  // KLOG_CLI_LINES_H
