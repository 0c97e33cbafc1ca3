#include "log/verify_versions.h"

#include <algorithm>
#include <utility>

#include "segment/record_hash.h"
#include "topic/topic.h"

namespace klog {
namespace {

constexpr std::size_t kSlotsFirst = 1024;

}  // namespace

// The hash is keyed, so its bits are as good as random; 62 of them stay beside the log's and the
// one that tells a used slot from a free one.
std::uint64_t VersionVerifier::fingerprint_of(LogId log, const Hash128& entity) {
    return (entity.hi & ~std::uint64_t{3}) | 2U | static_cast<std::uint64_t>(log);
}

std::size_t VersionVerifier::place_of(std::uint64_t fingerprint) const {
    const std::size_t mask = slots_.size() - 1;
    std::size_t at = static_cast<std::size_t>(fingerprint >> 2U) & mask;
    while (slots_[at].fingerprint != 0 && slots_[at].fingerprint != fingerprint) {
        at = (at + 1) & mask;
    }
    return at;
}

void VersionVerifier::grow() {
    std::vector<Slot> old =
        std::exchange(slots_, std::vector<Slot>(slots_.empty() ? kSlotsFirst : slots_.size() * 2));
    for (const Slot& slot : old) {
        if (slot.fingerprint != 0) slots_[place_of(slot.fingerprint)] = slot;
    }
}

Status VersionVerifier::add(LogId log, const HashKey& key, const RecordView& record) {
    Seq& last = last_seqs_[static_cast<std::size_t>(log)];
    if (record.seq <= last) return {};
    last = record.seq;
    if (!record.has_key || !whole(log)) return {};
    const std::uint64_t fingerprint =
        fingerprint_of(log, entity_hash(key, space_of(record.topic), record.key));
    if (used_ >= slots_.size() / 4 * 3) grow();
    Slot& slot = slots_[place_of(fingerprint)];
    if (slot.fingerprint == 0) {
        if (used_ == entities_max_) {
            overflowed_ = true;
            return {};
        }
        slot.fingerprint = fingerprint;
        ++used_;
    }
    const std::uint64_t before = slot.version;
    const std::uint64_t seq_before = slot.seq;
    slot.version = record.version.value;
    slot.seq = record.seq.value;
    if (record.version.value == before + 1) return {};
    const std::string found = "the record with seq " + std::to_string(record.seq.value) +
                              " is version " + std::to_string(record.version.value) +
                              " of its key, but ";
    const std::string hint = "keep a copy of the directory and report this";
    if (before == 0) return Error{Code::corrupt, found + "it is the first one", hint};
    return Error{Code::corrupt,
                 found + "the one before it, with seq " + std::to_string(seq_before) +
                     ", is version " + std::to_string(before),
                 hint};
}

std::optional<VersionVerifier::Newest> VersionVerifier::find(LogId log,
                                                             const Hash128& entity) const {
    if (slots_.empty()) return std::nullopt;
    const Slot& slot = slots_[place_of(fingerprint_of(log, entity))];
    if (slot.fingerprint == 0) return std::nullopt;
    return Newest{Version{slot.version}, Seq{slot.seq}};
}

std::uint64_t VersionVerifier::count(LogId log, Seq after, Seq upto) const {
    const auto of_log = static_cast<std::uint64_t>(log);
    return static_cast<std::uint64_t>(
        std::count_if(slots_.begin(), slots_.end(), [&](const Slot& slot) {
            return slot.fingerprint != 0 && (slot.fingerprint & 1U) == of_log &&
                   slot.seq > after.value && slot.seq <= upto.value;
        }));
}

}  // namespace klog
