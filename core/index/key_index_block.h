// A block of the key index: keys of one space in order, as a JSON array, so that sqlite3 can take
// it apart (json_each) and a row of the database costs little for each key.
#ifndef KLOG_INDEX_KEY_INDEX_BLOCK_H
#define KLOG_INDEX_KEY_INDEX_BLOCK_H

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace klog {

struct KeyBlock {
    std::string first;
    std::string last;
    std::uint64_t count = 0;
    std::uint64_t crc = 0;  // CRC-32C of text
    std::string text;       // ["a","b"]
};

class KeyBlockBuilder {
public:
    // A row with this much of text, first and last key fits on a page of 4,096 bytes. A single key
    // that is longer makes a block of its own.
    static constexpr std::size_t kBlockBytesMax = 4020;

    // False: the block is full, take it first. Precondition: key is above all before it.
    [[nodiscard]] bool add(std::string_view key);
    // However full it is.
    void add_anyway(std::string_view key);
    [[nodiscard]] bool empty() const { return block_.count == 0; }
    // The block so far; the next one begins. Precondition: not empty.
    [[nodiscard]] KeyBlock take();

private:
    void append(std::string_view key);
    void count_in(std::string_view key);

    KeyBlock block_;
};

// The keys of a block that was read from disk.
class KeyBlockKeys {
public:
    // False: it is damaged: checksum, count, order, first or last key do not fit its text.
    [[nodiscard]] bool decode(KeyBlock block);
    [[nodiscard]] std::size_t size() const { return spans_.size(); }
    // Views live until the next decode.
    [[nodiscard]] std::string_view operator[](std::size_t i) const {
        return {block_.text.data() + spans_[i].at, spans_[i].bytes};
    }
    [[nodiscard]] std::size_t lower_bound(std::string_view key) const;
    [[nodiscard]] std::size_t upper_bound(std::string_view key) const;

private:
    struct Span {
        std::uint32_t at;
        std::uint32_t bytes;
    };
    [[nodiscard]] bool take_apart();

    KeyBlock block_;  // its text with the escapes undone in place
    std::vector<Span> spans_;
};

}  // namespace klog

#endif  // KLOG_INDEX_KEY_INDEX_BLOCK_H
