// A simulated file system: contents (SimContent) and, apart from them, names.
//
// Names become durable only by syncing their folder: creations, renames and removals wait there,
// and a crash keeps or loses each. A change that survives brings those before it on the same names
// with it, as no file system applies the second without the first; changes on other names are
// independent of it. A rename is one change, also between two folders, where syncing either makes
// it durable. A file without any durable name vanishes; a removal that was lost brings the file
// back with what is durable of its content. A folder's own name is durable by its parent's sync.
#ifndef KLOG_ENV_SIM_DISK_H
#define KLOG_ENV_SIM_DISK_H

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "env/sim_content.h"
#include "klog/result.h"

namespace klog {

// Not thread-safe. Copyable. Paths are absolute; relative ones begin at the root too.
class SimDisk {
public:
    using NodeId = std::uint64_t;

    SimDisk();

    // Both take a handle: until release() or drop_handles() the content outlives its names.
    [[nodiscard]] Result<NodeId> open(const std::string& path);
    [[nodiscard]] Result<NodeId> create(const std::string& path);
    void release(NodeId node);
    // The process is gone, the system is not.
    void drop_handles();

    // Precondition of both: a handle is held.
    [[nodiscard]] SimContent& content(NodeId node);
    [[nodiscard]] const SimContent& content(NodeId node) const;

    Status rename(const std::string& from, const std::string& to);
    Status remove(const std::string& path);
    Status make_folder(const std::string& path);
    Status sync_folder(const std::string& path);
    [[nodiscard]] bool exists(const std::string& path) const;
    [[nodiscard]] bool is_folder(const std::string& path) const;
    [[nodiscard]] Result<std::vector<std::string>> list(const std::string& path) const;

    // Bytes of all files that have a name or a handle; holes count.
    [[nodiscard]] std::uint64_t used_bytes() const;
    // Name changes that a crash may take back.
    [[nodiscard]] std::size_t pending_names() const { return pending_.size(); }

    void crash(CrashMode mode, SimRandom& random);

    // For tests. Durable at once, with its folders.
    Status put(const std::string& path, std::string bytes);
    [[nodiscard]] const SimContent* find(const std::string& path) const;
    [[nodiscard]] SimContent* find(const std::string& path);
    // Full paths of all files, sorted.
    [[nodiscard]] std::vector<std::string> files() const;
    void hash_into(SipHash& hash) const;

private:
    // One name in one folder.
    struct Slot {
        NodeId folder = 0;
        std::string name;
        friend auto operator<=>(const Slot&, const Slot&) = default;
    };
    struct Node {
        bool folder = false;
        bool named = true;  // as readers see it
        std::uint32_t handles = 0;
        SimContent content;
        std::map<std::string, NodeId> names;  // as readers see them
        std::map<std::string, NodeId> durable_names;
    };
    // Creation (no from), rename, or removal (no to).
    struct NameChange {
        NodeId node = 0;
        std::optional<Slot> from;
        std::optional<Slot> to;
    };

    [[nodiscard]] Result<NodeId> resolve(const std::string& path) const;
    [[nodiscard]] Result<Slot> slot_of(const std::string& path) const;
    [[nodiscard]] std::optional<NodeId> at(const Slot& slot) const;
    NodeId add(const Slot& slot, bool folder);
    void unname(NodeId node) { nodes_.at(node).named = false; }
    // Applies the marked changes and those that they build upon; the others go on waiting.
    void commit(std::vector<bool> keep);
    void commit_slot(const Slot& slot);
    void drop_unreachable();
    void forget_unused();

    std::map<NodeId, Node> nodes_;
    std::vector<NameChange> pending_;  // oldest first
    NodeId next_ = 1;
};

}  // namespace klog

#endif  // KLOG_ENV_SIM_DISK_H
