#include "env/sim_disk.h"

#include <algorithm>
#include <set>

#include "base/assert.h"

namespace klog {
namespace {

constexpr SimDisk::NodeId kRoot = 0;

std::vector<std::string> parts_of(const std::string& path) {
    std::vector<std::string> parts;
    std::size_t at = 0;
    while (at < path.size()) {
        const std::size_t slash = std::min(path.find('/', at), path.size());
        std::string part = path.substr(at, slash - at);
        if (!part.empty() && part != ".") parts.push_back(std::move(part));
        at = slash + 1;
    }
    return parts;
}

Error no_such(const std::string& path) {
    return Error{Code::not_found, path + ": no such file or folder", {}};
}

Error not_a(const char* what, const std::string& path) {
    return Error{Code::io, path + ": not a " + what, {}};
}

}  // namespace

SimDisk::SimDisk() { nodes_[kRoot].folder = true; }

Result<SimDisk::NodeId> SimDisk::resolve(const std::string& path) const {
    NodeId node = kRoot;
    for (const std::string& part : parts_of(path)) {
        const Node& folder = nodes_.at(node);
        if (!folder.folder) return not_a("folder", path);
        const auto found = folder.names.find(part);
        if (found == folder.names.end()) return no_such(path);
        node = found->second;
    }
    return node;
}

Result<SimDisk::Slot> SimDisk::slot_of(const std::string& path) const {
    const std::vector<std::string> parts = parts_of(path);
    if (parts.empty()) return Error{Code::io, path + ": is the root folder", {}};
    NodeId node = kRoot;
    for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
        const auto next = at({node, parts[i]});
        if (!next.has_value()) return no_such(path);
        node = *next;
    }
    if (!nodes_.at(node).folder) return not_a("folder", path);
    return Slot{node, parts.back()};
}

std::optional<SimDisk::NodeId> SimDisk::at(const Slot& slot) const {
    const Node& folder = nodes_.at(slot.folder);
    const auto found = folder.names.find(slot.name);
    if (found == folder.names.end()) return std::nullopt;
    return found->second;
}

SimDisk::NodeId SimDisk::add(const Slot& slot, bool folder) {
    const NodeId id = next_++;
    nodes_[id].folder = folder;
    nodes_.at(slot.folder).names[slot.name] = id;
    pending_.push_back({id, std::nullopt, slot});
    return id;
}

Result<SimDisk::NodeId> SimDisk::open(const std::string& path) {
    KLOG_TRY_ASSIGN(const NodeId id, resolve(path));
    Node& node = nodes_.at(id);
    if (node.folder) return not_a("file", path);
    ++node.handles;
    return id;
}

Result<SimDisk::NodeId> SimDisk::create(const std::string& path) {
    KLOG_TRY_ASSIGN(const Slot slot, slot_of(path));
    if (at(slot).has_value()) return Error{Code::locked, path + ": exists already", {}};
    const NodeId id = add(slot, false);
    ++nodes_.at(id).handles;
    return id;
}

void SimDisk::release(NodeId node) {
    std::uint32_t& handles = nodes_.at(node).handles;
    KLOG_ASSERT(handles > 0);
    --handles;
}

void SimDisk::drop_handles() {
    for (auto& [id, node] : nodes_) node.handles = 0;
    forget_unused();
}

SimContent& SimDisk::content(NodeId node) { return nodes_.at(node).content; }
const SimContent& SimDisk::content(NodeId node) const { return nodes_.at(node).content; }

Status SimDisk::rename(const std::string& from, const std::string& to) {
    KLOG_TRY_ASSIGN(const Slot source, slot_of(from));
    KLOG_TRY_ASSIGN(const Slot target, slot_of(to));
    const auto moved = at(source);
    if (!moved.has_value()) return no_such(from);
    if (source == target) return {};
    const auto replaced = at(target);
    if (replaced.has_value()) {
        if (nodes_.at(*replaced).folder || nodes_.at(*moved).folder) return not_a("file", to);
        unname(*replaced);
    }
    nodes_.at(source.folder).names.erase(source.name);
    nodes_.at(target.folder).names[target.name] = *moved;
    pending_.push_back({*moved, source, target});
    return {};
}

Status SimDisk::remove(const std::string& path) {
    KLOG_TRY_ASSIGN(const Slot slot, slot_of(path));
    const auto node = at(slot);
    if (!node.has_value()) return no_such(path);
    if (nodes_.at(*node).folder) return not_a("file", path);
    unname(*node);
    nodes_.at(slot.folder).names.erase(slot.name);
    pending_.push_back({*node, slot, std::nullopt});
    return {};
}

Status SimDisk::make_folder(const std::string& path) {
    KLOG_TRY_ASSIGN(const Slot slot, slot_of(path));
    if (at(slot).has_value()) return Error{Code::io, path + ": exists already", {}};
    add(slot, true);
    return {};
}

Status SimDisk::sync_folder(const std::string& path) {
    KLOG_TRY_ASSIGN(const NodeId id, resolve(path));
    if (!nodes_.at(id).folder) return not_a("folder", path);
    std::vector<bool> keep;
    for (const NameChange& change : pending_) {
        keep.push_back((change.from.has_value() && change.from->folder == id) ||
                       (change.to.has_value() && change.to->folder == id));
    }
    commit(std::move(keep));
    forget_unused();
    return {};
}

bool SimDisk::exists(const std::string& path) const { return resolve(path).ok(); }

bool SimDisk::is_folder(const std::string& path) const {
    const auto node = resolve(path);
    return node.ok() && nodes_.at(node.value()).folder;
}

Result<std::vector<std::string>> SimDisk::list(const std::string& path) const {
    KLOG_TRY_ASSIGN(const NodeId id, resolve(path));
    const Node& folder = nodes_.at(id);
    if (!folder.folder) return not_a("folder", path);
    std::vector<std::string> names;
    for (const auto& [name, node] : folder.names) names.push_back(name);
    return names;
}

std::uint64_t SimDisk::used_bytes() const {
    std::uint64_t used = 0;
    for (const auto& [id, node] : nodes_) {
        if (node.named || node.handles > 0) used += node.content.size();
    }
    return used;
}

void SimDisk::commit(std::vector<bool> keep) {
    std::set<Slot> built_upon;
    const auto is_built_upon = [&](const std::optional<Slot>& slot) {
        return slot.has_value() && built_upon.contains(*slot);
    };
    for (std::size_t i = pending_.size(); i-- > 0;) {
        const NameChange& change = pending_[i];
        if (is_built_upon(change.from) || is_built_upon(change.to)) keep[i] = true;
        if (!keep[i]) continue;
        if (change.from.has_value()) built_upon.insert(*change.from);
        if (change.to.has_value()) built_upon.insert(*change.to);
    }
    std::vector<NameChange> waiting;
    for (std::size_t i = 0; i < pending_.size(); ++i) {
        NameChange& change = pending_[i];
        if (!keep[i]) {
            waiting.push_back(std::move(change));
            continue;
        }
        if (change.from.has_value()) {
            nodes_.at(change.from->folder).durable_names.erase(change.from->name);
        }
        if (change.to.has_value()) {
            nodes_.at(change.to->folder).durable_names[change.to->name] = change.node;
        }
    }
    pending_ = std::move(waiting);
}

void SimDisk::commit_slot(const Slot& slot) {
    std::vector<bool> keep;
    for (const NameChange& change : pending_) {
        keep.push_back(change.from == slot || change.to == slot);
    }
    commit(std::move(keep));
}

void SimDisk::crash(CrashMode mode, SimRandom& random) {
    CrashChoice choice(mode, pending_.size(), random);
    std::vector<bool> keep;
    for (std::size_t i = 0; i < pending_.size(); ++i) keep.push_back(choice.keep());
    commit(std::move(keep));
    pending_.clear();
    drop_unreachable();
    for (auto& [id, node] : nodes_) {
        node.handles = 0;
        node.named = true;
        node.names = node.durable_names;
        if (!node.folder) node.content.crash(mode, random);
    }
}

void SimDisk::drop_unreachable() {
    std::set<NodeId> reached{kRoot};
    std::vector<NodeId> todo{kRoot};
    while (!todo.empty()) {
        const NodeId id = todo.back();
        todo.pop_back();
        for (const auto& [name, child] : nodes_.at(id).durable_names) {
            if (reached.insert(child).second) todo.push_back(child);
        }
    }
    std::erase_if(nodes_, [&](const auto& entry) { return !reached.contains(entry.first); });
}

// Drops files that neither a reader nor a crash could ever bring back.
void SimDisk::forget_unused() {
    std::set<NodeId> used;
    for (const NameChange& change : pending_) used.insert(change.node);
    for (const auto& [id, node] : nodes_) {
        for (const auto& [name, child] : node.durable_names) used.insert(child);
    }
    std::erase_if(nodes_, [&](const auto& entry) {
        const Node& node = entry.second;
        return !node.named && node.handles == 0 && !used.contains(entry.first);
    });
}

Status SimDisk::put(const std::string& path, std::string bytes) {
    const std::vector<std::string> parts = parts_of(path);
    Slot slot;
    for (std::size_t i = 0; i < parts.size(); ++i) {
        slot.name = parts[i];
        const bool last = i + 1 == parts.size();
        const auto found = at(slot);
        const NodeId node = found.has_value() ? *found : add(slot, !last);
        if (nodes_.at(node).folder == last) return not_a(last ? "file" : "folder", path);
        commit_slot(slot);
        if (last) {
            nodes_.at(node).content.replace(std::move(bytes));
            return {};
        }
        slot.folder = node;
    }
    return {};
}

const SimContent* SimDisk::find(const std::string& path) const {
    const auto node = resolve(path);
    if (!node.ok() || nodes_.at(node.value()).folder) return nullptr;
    return &nodes_.at(node.value()).content;
}

SimContent* SimDisk::find(const std::string& path) {
    // This object is not const, so what it holds is not either.
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-const-cast)
    return const_cast<SimContent*>(std::as_const(*this).find(path));
}

std::vector<std::string> SimDisk::files() const {
    std::vector<std::string> paths;
    std::vector<std::pair<NodeId, std::string>> todo{{kRoot, ""}};
    while (!todo.empty()) {
        const auto [id, prefix] = std::move(todo.back());
        todo.pop_back();
        for (const auto& [name, child] : nodes_.at(id).names) {
            std::string path = prefix + "/" + name;
            if (nodes_.at(child).folder) {
                todo.emplace_back(child, std::move(path));
            } else {
                paths.push_back(std::move(path));
            }
        }
    }
    std::sort(paths.begin(), paths.end());
    return paths;
}

void SimDisk::hash_into(SipHash& hash) const {
    const auto hash_names = [&](const std::map<std::string, NodeId>& names) {
        hash.update_u64(names.size());
        for (const auto& [name, node] : names) {
            hash.update_u64(name.size());
            hash.update(name);
            hash.update_u64(node);
        }
    };
    hash.update_u64(nodes_.size());
    for (const auto& [id, node] : nodes_) {
        hash.update_u64(id);
        hash_names(node.names);
        hash_names(node.durable_names);
        node.content.hash_into(hash);
    }
    hash.update_u64(pending_.size());
    for (const NameChange& change : pending_) {
        hash.update_u64(change.node);
        for (const auto& slot : {change.from, change.to}) {
            hash.update_u64(slot.has_value() ? slot->name.size() + 1 : 0);
            if (!slot.has_value()) continue;
            hash.update_u64(slot->folder);
            hash.update(slot->name);
        }
    }
}

}  // namespace klog
