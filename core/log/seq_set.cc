#include "log/seq_set.h"

#include <algorithm>
#include <bit>

#include "base/assert.h"

namespace klog {

SeqSet::SeqSet(Seq after, Seq last, ByteShare& share)
    : share_(share), first_(after.value + 1), last_(last.value) {}

SeqSet::~SeqSet() {
    for (std::size_t page = dropped_; page < pages_.size(); ++page) drop_page(page);
    share_.give_back(directory_bytes_);
}

bool SeqSet::add(Seq seq) {
    KLOG_ASSERT(seq.value >= first_ && seq.value <= last_);
    const std::uint64_t bit = seq.value - first_;
    const auto page = static_cast<std::size_t>(bit / kPageSeqs);
    if (page >= pages_.size()) {
        // Doubled, as a vector grows, but never past the range.
        const auto most = static_cast<std::size_t>((last_ - first_) / kPageSeqs) + 1;
        const std::size_t size = std::min(most, std::max(page + 1, pages_.size() * 2));
        const std::uint64_t bytes = (size - pages_.size()) * sizeof(pages_[0]);
        if (!share_.take(bytes)) return false;
        directory_bytes_ += bytes;
        pages_.reserve(size);
        pages_.resize(size);
    }
    if (pages_[page] == nullptr) {
        if (!share_.take(kPageBytes)) return false;
        pages_[page] = std::make_unique<Words>();
    }
    (*pages_[page])[bit % kPageSeqs / 64] |= 1ULL << (bit % 64);
    return true;
}

bool SeqSet::has(Seq seq) const {
    if (seq.value < first_) return false;
    const std::uint64_t bit = seq.value - first_;
    const auto page = static_cast<std::size_t>(bit / kPageSeqs);
    if (page >= pages_.size() || pages_[page] == nullptr) return false;
    return ((*pages_[page])[bit % kPageSeqs / 64] >> (bit % 64) & 1U) != 0;
}

std::optional<Seq> SeqSet::next(Seq seq) const {
    std::uint64_t bit = std::max(seq.value, first_) - first_;
    for (auto page = static_cast<std::size_t>(bit / kPageSeqs); page < pages_.size(); ++page) {
        if (pages_[page] != nullptr) {
            for (std::size_t word = bit % kPageSeqs / 64; word < kWords; ++word) {
                const std::uint64_t bits = (*pages_[page])[word] & ~0ULL << (bit % 64);
                if (bits != 0) {
                    const auto at = static_cast<std::uint64_t>(std::countr_zero(bits));
                    return Seq{first_ + page * kPageSeqs + word * 64 + at};
                }
                bit = 0;
            }
        }
        bit = 0;
    }
    return std::nullopt;
}

void SeqSet::keep_last(std::uint64_t count) {
    for (std::size_t page = pages_.size(); page-- > dropped_;) {
        if (pages_[page] == nullptr) continue;
        for (std::size_t word = kWords; word-- > 0;) {
            std::uint64_t& bits = (*pages_[page])[word];
            auto have = static_cast<std::uint64_t>(std::popcount(bits));
            for (; have > count; --have) bits &= bits - 1;
            count -= have;
        }
        if (count == 0) return drop_before(Seq{first_ + page * kPageSeqs});
    }
}

void SeqSet::drop_before(Seq seq) {
    if (seq.value < first_) return;
    const auto page = static_cast<std::size_t>((seq.value - first_) / kPageSeqs);
    for (; dropped_ < std::min(page, pages_.size()); ++dropped_) drop_page(dropped_);
}

void SeqSet::drop_page(std::size_t page) {
    if (pages_[page] == nullptr) return;
    pages_[page].reset();
    share_.give_back(kPageBytes);
}

}  // namespace klog
