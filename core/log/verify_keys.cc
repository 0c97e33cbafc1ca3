#include "log/verify_keys.h"

#include "index/index_verify.h"
#include "segment/record_hash.h"

namespace klog {

Status verify_keys(Env& env, const std::string& path, LogId log, const HashKey& key, Seq upto,
                   const VersionVerifier& versions) {
    std::string stranger;
    std::uint64_t found = 0;
    VisitKey visit = [&](std::string_view space, std::string_view name) {
        const auto newest = versions.find(log, entity_hash(key, space, name));
        if (newest && newest->seq <= upto) ++found;
        if (newest || versions.overflowed() || !stranger.empty()) return;
        stranger = "\"" + std::string(name) + "\" in \"" + std::string(space) + "\"";
    };
    const StartKeys start = [&] {
        stranger.clear();
        found = 0;
        return visit;
    };
    KLOG_TRY_ASSIGN([[maybe_unused]] const KeyIndexClaim claim, verify_key_index(env, path, start));
    std::string wrong;
    const std::uint64_t expected = versions.count(log, Seq{}, upto);
    if (!stranger.empty()) {
        wrong = "it lists the key " + stranger + ", which the log does not have";
    } else if (found < expected) {
        wrong = "it lists " + std::to_string(found) + " of the " + std::to_string(expected) +
                " keys that the log has up to seq " + std::to_string(upto.value);
    }
    if (wrong.empty()) return {};
    return Error{Code::corrupt, "key index " + path + ": " + wrong, ""};
}

}  // namespace klog
