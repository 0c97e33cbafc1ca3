// Which seqs of a range were chosen, a bit each, in pages of 1,024 that are there only where one of
// them is.
//
// Threads: one.
#ifndef KLOG_LOG_SEQ_SET_H
#define KLOG_LOG_SEQ_SET_H

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "klog/types.h"
#include "log/byte_budget.h"

namespace klog {

class SeqSet {
public:
    // Of seqs in (after, last]. Memory is taken from `share`, which must outlive this.
    SeqSet(Seq after, Seq last, ByteShare& share);
    ~SeqSet();
    SeqSet(const SeqSet&) = delete;
    SeqSet& operator=(const SeqSet&) = delete;

    // False: there is no memory for it. Precondition: it lies in the range.
    [[nodiscard]] bool add(Seq seq);
    [[nodiscard]] bool has(Seq seq) const;
    // The first one >= seq; nullopt: none.
    [[nodiscard]] std::optional<Seq> next(Seq seq) const;
    // Takes out all but the last `count`.
    void keep_last(std::uint64_t count);
    // Gives back the memory of what lies before seq, which is not asked for any more.
    void drop_before(Seq seq);

private:
    static constexpr std::size_t kWords = 16;
    static constexpr std::uint64_t kPageSeqs = kWords * 64;
    using Words = std::array<std::uint64_t, kWords>;
    // Of a page: with what the allocator adds.
    static constexpr std::uint64_t kPageBytes = sizeof(Words) + 16;

    void drop_page(std::size_t page);

    ByteShare& share_;
    const std::uint64_t first_;  // the seq of bit 0
    const std::uint64_t last_;
    std::vector<std::unique_ptr<Words>> pages_;  // as far as seqs were added
    std::uint64_t directory_bytes_ = 0;
    std::size_t dropped_ = 0;  // pages before this one are gone
};

}  // namespace klog

#endif  // KLOG_LOG_SEQ_SET_H
