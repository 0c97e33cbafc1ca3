// Keyed hashes of what a record names: its entity, its id. One place, so that what judges a write,
// what a segment's key section holds and what a reader looks up are the same hash.
#ifndef KLOG_SEGMENT_RECORD_HASH_H
#define KLOG_SEGMENT_RECORD_HASH_H

#include <string_view>

#include "base/siphash.h"

namespace klog {

// Domains keep hashes of different things apart under one key. Stored: never renumber.
enum class HashDomain : std::uint64_t {
    entity = 1,
    keyed_id = 2,
    topic_id = 3,
    digest = 4,
    session = 5
};

// Of the entity (space, key). `space` is the first level of its records' topics.
[[nodiscard]] Hash128 entity_hash(const HashKey& key, std::string_view space,
                                  std::string_view name);
// An id counts within its entity, or within its topic where the record has no key.
[[nodiscard]] Hash128 id_hash(const HashKey& key, std::string_view topic, bool has_key,
                              std::string_view name, std::string_view id);

}  // namespace klog

#endif  // KLOG_SEGMENT_RECORD_HASH_H
