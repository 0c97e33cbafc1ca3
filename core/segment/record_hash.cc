#include "segment/record_hash.h"

#include "topic/topic.h"

namespace klog {
namespace {

void add_field(SipHash& hash, std::string_view field) {
    hash.update_u64(field.size());
    hash.update(field);
}

}  // namespace

Hash128 entity_hash(const HashKey& key, std::string_view space, std::string_view name) {
    SipHash hash(key);
    hash.update_u64(static_cast<std::uint64_t>(HashDomain::entity) << 32U | space.size());
    hash.update(space);
    hash.update(name);
    return hash.finish();
}

Hash128 id_hash(const HashKey& key, std::string_view topic, bool has_key, std::string_view name,
                std::string_view id) {
    SipHash hash(key);
    hash.update_u64(
        static_cast<std::uint64_t>(has_key ? HashDomain::keyed_id : HashDomain::topic_id));
    add_field(hash, has_key ? space_of(topic) : topic);
    if (has_key) add_field(hash, name);
    add_field(hash, id);
    return hash.finish();
}

}  // namespace klog
