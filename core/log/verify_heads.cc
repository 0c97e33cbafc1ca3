#include "log/verify_heads.h"

#include <utility>

#include "index/index_verify.h"

namespace klog {
namespace {

std::string version_at(Version version, Seq seq) {
    return "version " + std::to_string(version.value) + " at seq " + std::to_string(seq.value);
}

// Of an entity that the log has at `newest`; upto: what the run has seen of the log.
bool agrees(const HeadEntry& head, const VersionVerifier::Newest& newest, Seq upto) {
    if (newest.seq <= upto || head.last_seq >= newest.seq) {
        return head.last_seq == newest.seq && head.version == newest.version;
    }
    return head.version < newest.version;
}

}  // namespace

Status verify_heads(Env& env, const std::string& path, std::uint64_t number, LogId log,
                    const VersionVerifier& versions) {
    std::string wrong;
    std::uint64_t newest_here = 0;
    const auto visit = [&](const RunClaim& claim, const Hash128& entity, const HeadEntry& head) {
        if (!wrong.empty()) return;
        const auto newest = versions.find(log, entity);
        if (newest && newest->seq > claim.covered_after && newest->seq <= claim.covered_upto) {
            ++newest_here;
        }
        if (newest && !agrees(head, *newest, claim.covered_upto)) {
            wrong = "it holds a key at " + version_at(head.version, head.last_seq) +
                    ", which in the log is at " + version_at(newest->version, newest->seq);
        } else if (!newest && !versions.overflowed()) {
            wrong = "it holds a key at " + version_at(head.version, head.last_seq) +
                    ", which the log does not have";
        }
    };
    KLOG_TRY_ASSIGN(const RunClaim claim, each_head(env, path, number, visit));
    if (wrong.empty()) {
        const std::uint64_t expected = versions.count(log, claim.covered_after, claim.covered_upto);
        if (newest_here == expected) return {};
        wrong = "it knows " + std::to_string(newest_here) + " of the " + std::to_string(expected) +
                " keys that were written between seq " + std::to_string(claim.covered_after.value) +
                " and " + std::to_string(claim.covered_upto.value) + " and not since";
    }
    return {Error{Code::corrupt, path + ": " + wrong, ""}};
}

}  // namespace klog
