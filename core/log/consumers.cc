#include "log/consumers.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/coding.h"

namespace klog {
namespace {

// Beside its name, in a gathered record, about.
constexpr std::size_t kLineBytes = 8;
// An acknowledgement that moves nothing says that somebody is there, but not more often than this.
constexpr std::int64_t kActiveMicros = 60'000'000;

Error not_found(std::string_view name) {
    return Error{Code::not_found, "there is no consumer \"" + std::string(name) + "\"",
                 "klog consumer ls shows those that there are"};
}

Error ahead(Seq seq, Seq head) {
    return Error{Code::ack_ahead,
                 "seq " + std::to_string(seq.value) + " lies ahead of the head, which is " +
                     std::to_string(head.value),
                 {}};
}

Error stale(std::string_view name, std::uint64_t given, std::uint64_t newest) {
    return Error{Code::stale_lease,
                 "the lease " + std::to_string(given) + " of consumer \"" + std::string(name) +
                     "\" is stale: the newest one is " + std::to_string(newest),
                 "somebody else reads as this consumer now, or it was reset; begin a new read"};
}

Error too_many(std::size_t consumers, std::size_t bytes_max) {
    return Error{Code::too_many,
                 "there are " + std::to_string(consumers) +
                     " consumers already, and all together " + "may take " +
                     std::to_string(bytes_max >> 20U) + " MiB",
                 "klog consumer rm --idle 30d removes those that nobody used for a month"};
}

ConsumerInfo info_of(const ConsumerEntry& entry) {
    ConsumerInfo info;
    info.name = *entry.name;
    // It was checked when it was read or made.
    const auto definition =
        decode_definition(entry.shown_definition ? *entry.shown_definition : entry.definition);
    if (definition && *definition) {
        info.filters = (*definition)->filters;
        info.not_filters = (*definition)->not_filters;
        info.created = (*definition)->created;
    }
    info.position = entry.shown.position;
    info.lease = entry.shown.lease;
    info.last_active = entry.shown.active;
    info.result = entry.shown.result;
    return info;
}

ConsumerState first_state(const ConsumerDefinition& definition) {
    return ConsumerState{definition.start, 0, definition.created, {}};
}

// As an acknowledgement does it: a position only grows.
void advance(ConsumerState& state, Seq position, Time active, std::string_view result) {
    state.active = std::max(state.active, active);
    if (position < state.position) return;
    if (position > state.position || !result.empty()) state.result = result;
    state.position = position;
}

}  // namespace

ConsumerEntry* ConsumerTable::entry_of(std::string_view name) {
    const auto at = entries_.find(name);
    return at == entries_.end() ? nullptr : &at->second;
}

const ConsumerEntry* ConsumerTable::entry_of(std::string_view name) const {
    const auto at = entries_.find(name);
    return at == entries_.end() ? nullptr : &at->second;
}

ConsumerEntry& ConsumerTable::obtain(std::string_view name) {
    const auto [at, made] = entries_.try_emplace(std::string(name));
    at->second.name = &at->first;
    if (made) bytes_ += name.size() + kEntryBytes;
    return at->second;
}

void ConsumerTable::define(ConsumerEntry& entry, std::string definition) {
    bytes_ = bytes_ - entry.definition.size() + definition.size();
    entry.definition = std::move(definition);
}

void ConsumerTable::erase(ConsumerEntry& entry) {
    clean(entry);
    show(entry, false);
    const std::string name = *entry.name;
    bytes_ -= entry.definition.size() + name.size() + kEntryBytes;
    entries_.erase(name);
}

void ConsumerTable::show(ConsumerEntry& entry, bool exists) {
    if (entry.exists_shown == exists) return;
    entry.exists_shown = exists;
    shown_ = exists ? shown_ + 1 : shown_ - 1;
}

void ConsumerTable::soil(ConsumerEntry& entry) {
    if (entry.dirty) return;
    entry.dirty = true;
    dirty_.insert(&entry);
    dirty_bytes_ += entry.name->size() + kLineBytes;
}

void ConsumerTable::clean(ConsumerEntry& entry) {
    if (!entry.dirty) return;
    entry.dirty = false;
    dirty_.erase(&entry);
    dirty_bytes_ -= entry.name->size() + kLineBytes;
}

std::string ConsumerTable::topic_of(const ConsumerStep& step) {
    const bool defines =
        step.what == ConsumerStep::What::put || step.what == ConsumerStep::What::remove;
    return defines ? std::string(kConsumerTopicPrefix) + step.name : std::string(kPositionsTopic);
}

Result<bool> ConsumerTable::judge(ConsumerStep& step, Seq seq, Seq head, Time now,
                                  ConsumerChanges& changes) {
    switch (step.what) {
        case ConsumerStep::What::put:
            return judge_put(step, head, now, changes);
        case ConsumerStep::What::remove:
            return judge_remove(step, changes);
        case ConsumerStep::What::reset:
        case ConsumerStep::What::lease:
            return judge_position(step, seq, head, now, changes);
        case ConsumerStep::What::gather:
            return judge_gather(step, now, changes);
    }
    return Error{Code::bug, "an unknown step of a consumer", {}};
}

Result<bool> ConsumerTable::judge_put(ConsumerStep& step, Seq head, Time now,
                                      ConsumerChanges& changes) {
    KLOG_TRY_ASSIGN(auto wanted, decode_definition(step.definition));
    KLOG_ASSERT(wanted.has_value());
    if (const ConsumerEntry* known = entry_of(step.name); known != nullptr && known->exists) {
        KLOG_TRY_ASSIGN(const auto has, decode_definition(known->definition));
        if (has && same_filters(*has, *wanted)) return false;
        return Error{Code::consumer_differs,
                     "the consumer \"" + step.name + "\" was made with other filters",
                     "klog consumer show " + step.name +
                         " prints them; leave the filters out to use it, or take another name"};
    }
    if (step.seq > head) return ahead(step.seq, head);
    wanted->created = now;
    wanted->start = step.seq;
    step.value = encode_definition(*wanted);
    if (bytes_ + step.value.size() + step.name.size() + kEntryBytes > bytes_max_) {
        return too_many(entries_.size(), bytes_max_);
    }
    ConsumerEntry& entry = obtain(step.name);
    if (entry.exists_shown && !entry.shown_definition) {
        entry.shown_definition = std::make_unique<std::string>(entry.definition);
    }
    define(entry, step.value);
    entry.exists = true;
    entry.latest = first_state(*wanted);
    ++entry.pending;
    ++entry.restarts;
    changes.push_back({ConsumerChange::What::put, &entry, entry.latest, step.value});
    return true;
}

Result<bool> ConsumerTable::judge_remove(ConsumerStep& step, ConsumerChanges& changes) {
    ConsumerEntry* entry = entry_of(step.name);
    const bool there = entry != nullptr && entry->exists;
    if (step.idle_before && (!there || entry->latest.active >= *step.idle_before)) return false;
    if (!there) return not_found(step.name);
    entry->exists = false;
    ++entry->pending;
    ++entry->restarts;
    step.value = encode_removal();
    changes.push_back({ConsumerChange::What::remove, entry});
    return true;
}

Result<bool> ConsumerTable::judge_position(ConsumerStep& step, Seq seq, Seq head, Time now,
                                           ConsumerChanges& changes) {
    ConsumerEntry* entry = entry_of(step.name);
    if (entry == nullptr || !entry->exists) return not_found(step.name);
    const bool exact = step.what == ConsumerStep::What::reset;
    if (exact && step.seq > head) return ahead(step.seq, head);
    ConsumerState& latest = entry->latest;
    // The seq of its record: no other lease has it, before or after any restart.
    latest.lease = seq.value;
    latest.active = std::max(latest.active, now);
    if (exact) {
        latest.position = step.seq;
        latest.result.clear();
        ++entry->restarts;
    }
    PositionLine line{*entry->name, latest.position, latest.active,
                      exact,        latest.lease,    latest.result};
    // What memory alone has acknowledged stays for the next gathered record.
    step.value = encode_positions({line});
    ++entry->pending;
    changes.push_back(
        {exact ? ConsumerChange::What::reset : ConsumerChange::What::lease, entry, latest});
    return true;
}

bool ConsumerTable::judge_gather(ConsumerStep& step, Time now, ConsumerChanges& changes) {
    // Whose latest state is not settled waits for the next time: what stands behind an unfinished
    // reset in the log must not undo it.
    std::vector<ConsumerEntry*> entries;
    for (ConsumerEntry* entry : dirty_) {
        if (entry->pending == 0) entries.push_back(entry);
    }
    std::sort(entries.begin(), entries.end(),
              [](const auto* a, const auto* b) { return *a->name < *b->name; });
    std::vector<PositionLine> lines;
    std::size_t bytes = 0;
    for (ConsumerEntry* entry : entries) {
        if (bytes >= kRecordBytesMax) break;
        const ConsumerState& shown = entry->shown;
        lines.push_back({*entry->name, shown.position, std::min(shown.active, now), false,
                         std::nullopt, shown.result});
        bytes += entry->name->size() + shown.result.size() + kLineBytes;
        entry->recorded = shown.position;
        clean(*entry);
        changes.push_back({ConsumerChange::What::gathered, entry});
    }
    if (lines.empty()) return false;
    step.value = encode_positions(lines);
    return true;
}

std::optional<Error> ConsumerTable::check_ack(std::string_view name, Seq seq,
                                              std::optional<std::uint64_t> lease, Seq head) const {
    const ConsumerEntry* entry = entry_of(name);
    if (entry == nullptr || !entry->exists) return not_found(name);
    if (lease && *lease != entry->latest.lease) return stale(name, *lease, entry->latest.lease);
    if (seq > head) return ahead(seq, head);
    if (entry->latest.position >= seq) {
        return Error{Code::already_acked,
                     "the consumer \"" + std::string(name) + "\" stands at seq " +
                         std::to_string(entry->latest.position.value) + " already",
                     "an earlier try of this batch was written, or another worker did its work"};
    }
    return std::nullopt;
}

std::string ConsumerTable::judge_acks(const std::vector<BatchAck>& acks, Time now,
                                      ConsumerChanges& changes) {
    std::vector<PositionLine> lines;
    for (const BatchAck& ack : acks) {
        ConsumerEntry* entry = entry_of(ack.consumer);
        KLOG_ASSERT(entry != nullptr && entry->exists);
        advance(entry->latest, ack.seq, now, ack.result);
        ++entry->pending;
        lines.push_back({*entry->name, ack.seq, now, false, std::nullopt, ack.result});
        changes.push_back({ConsumerChange::What::ack, entry,
                           ConsumerState{ack.seq, 0, now, std::string(ack.result)}});
    }
    return encode_positions(lines);
}

void ConsumerTable::publish(ConsumerChanges& changes) {
    using What = ConsumerChange::What;
    for (ConsumerChange& change : changes) {
        if (change.what == What::gathered) continue;
        ConsumerEntry& entry = *change.entry;
        ConsumerState& shown = entry.shown;
        switch (change.what) {
            case What::put:
                entry.shown_definition.reset();
                if (entry.definition != change.definition) {
                    entry.shown_definition =
                        std::make_unique<std::string>(std::move(change.definition));
                }
                shown = std::move(change.state);
                entry.recorded = shown.position;
                show(entry, true);
                break;
            case What::remove:
                entry.shown_definition.reset();
                shown = {};
                clean(entry);
                show(entry, false);
                break;
            case What::reset:
                shown = std::move(change.state);
                entry.recorded = shown.position;
                clean(entry);
                break;
            case What::lease:
                shown.lease = change.state.lease;
                shown.active = std::max(shown.active, change.state.active);
                break;
            case What::ack:
                advance(shown, change.state.position, change.state.active, change.state.result);
                entry.recorded = std::max(entry.recorded, change.state.position);
                break;
            case What::gathered:
                break;
        }
        if (change.what != What::lease && change.what != What::ack) --entry.restarts;
        if (--entry.pending > 0) continue;
        if (!entry.exists) {
            erase(entry);
        } else {
            entry.latest = entry.shown;
        }
    }
    changes.clear();
}

void ConsumerTable::drop(ConsumerChanges& changes) {
    for (ConsumerChange& change : changes) {
        ConsumerEntry& entry = *change.entry;
        if (change.what == ConsumerChange::What::gathered) {
            soil(entry);
            continue;
        }
        if (entry.pending == 0) continue;  // all its changes were taken back with the first one
        entry.pending = 0;
        entry.restarts = 0;
        entry.exists = entry.exists_shown;
        entry.latest = entry.shown;
        if (entry.shown_definition) define(entry, std::move(*entry.shown_definition));
        entry.shown_definition.reset();
        if (!entry.exists) doomed_.push_back(&entry);
    }
    changes.clear();
}

void ConsumerTable::dropped() {
    for (ConsumerEntry* entry : std::exchange(doomed_, {})) erase(*entry);
}

Result<Seq> ConsumerTable::ack(std::string_view name, Seq seq, std::optional<std::uint64_t> lease,
                               std::string_view result, Seq head, Time now) {
    ConsumerEntry* entry = entry_of(name);
    if (entry == nullptr || !entry->exists_shown) return not_found(name);
    if (lease && *lease != entry->latest.lease) return stale(name, *lease, entry->latest.lease);
    if (seq > head) return ahead(seq, head);
    const bool moves = seq > entry->shown.position;
    if (moves || now.micros - entry->shown.active.micros >= kActiveMicros) soil(*entry);
    // What moves nothing leaves the result of what did.
    advance(entry->shown, moves ? seq : Seq{}, now, result);
    // It is of the life before: what begins anew behind it does not stand where it says.
    if (entry->restarts == 0) advance(entry->latest, moves ? seq : Seq{}, now, result);
    return entry->shown.position;
}

Status ConsumerTable::pass(std::string_view name, std::uint64_t lease, Seq sent, Seq read_to,
                           Time now) {
    ConsumerEntry* entry = entry_of(name);
    if (entry == nullptr || !entry->exists_shown) return not_found(name);
    if (lease != entry->latest.lease) return stale(name, lease, entry->latest.lease);
    ConsumerState& shown = entry->shown;
    if (shown.position < sent || shown.position >= read_to) return {};
    shown.position = read_to;
    shown.active = std::max(shown.active, now);
    entry->latest.position = std::max(entry->latest.position, read_to);
    entry->latest.active = shown.active;
    if (read_to.value - std::min(read_to, entry->recorded).value >= kPassedSeqsMin) soil(*entry);
    return {};
}

Result<ConsumerInfo> ConsumerTable::find(std::string_view name) const {
    const ConsumerEntry* entry = entry_of(name);
    if (entry == nullptr || !entry->exists_shown) return not_found(name);
    return info_of(*entry);
}

Page<ConsumerInfo> ConsumerTable::page(std::string_view after, std::size_t limit) const {
    Page<ConsumerInfo> page;
    for (auto at = entries_.upper_bound(after); at != entries_.end(); ++at) {
        if (!at->second.exists_shown) continue;
        if (page.rows.size() == limit) {
            page.more = true;
            break;
        }
        page.rows.push_back(info_of(at->second));
    }
    return page;
}

void ConsumerTable::clear() {
    dirty_.clear();
    dirty_bytes_ = 0;
    entries_.clear();
    shown_ = 0;
    bytes_ = 0;
}

Status ConsumerTable::replay_definition(std::string_view name, std::string_view value) {
    KLOG_TRY_ASSIGN(const auto definition, decode_definition(value));
    if (!definition) {
        if (ConsumerEntry* entry = entry_of(name)) erase(*entry);
        return {};
    }
    ConsumerEntry& entry = obtain(name);
    define(entry, std::string(value));
    entry.shown = first_state(*definition);
    entry.latest = entry.shown;
    entry.recorded = entry.shown.position;
    entry.exists = true;
    show(entry, true);
    return {};
}

Status ConsumerTable::replay_positions(std::string_view value) {
    KLOG_TRY_ASSIGN(const std::vector<PositionLine> lines, decode_positions(value));
    for (const PositionLine& line : lines) {
        ConsumerEntry* entry = entry_of(line.name);
        if (entry == nullptr) continue;  // it was removed
        ConsumerState& shown = entry->shown;
        if (line.exact) {
            shown.position = line.position;
            shown.active = line.active;
            shown.result = line.result;
        } else {
            advance(shown, line.position, line.active, line.result);
        }
        if (line.lease) shown.lease = *line.lease;
        entry->latest = shown;
        entry->recorded = shown.position;
    }
    return {};
}

bool ConsumerTable::checkpoint_part(std::string& after, std::string& out) const {
    std::string definitions;
    std::vector<PositionLine> lines;
    std::size_t bytes = 0;
    auto at = entries_.upper_bound(after);
    for (; at != entries_.end() && bytes < kRecordBytesMax; ++at) {
        const ConsumerEntry& entry = at->second;
        after = at->first;
        if (!entry.exists_shown) continue;
        put_bytes(definitions, entry.shown_definition ? *entry.shown_definition : entry.definition);
        lines.push_back({*entry.name, entry.shown.position, entry.shown.active, true,
                         entry.shown.lease, entry.shown.result});
        bytes += entry.definition.size() + entry.name->size() + entry.shown.result.size() + 16;
    }
    put_varint(out, lines.size());
    out += definitions;
    put_bytes(out, encode_positions(lines));
    return at != entries_.end();
}

Status ConsumerTable::restore_part(std::string_view part) {
    const Error unreadable{Code::corrupt, "the consumers of a checkpoint cannot be decoded", {}};
    ByteReader in(part);
    const std::uint64_t count = in.varint();
    std::vector<std::string_view> definitions;
    for (std::uint64_t i = 0; i < count && in.ok(); ++i) definitions.push_back(in.bytes());
    const std::string_view positions = in.bytes();
    if (!in.ok() || in.left() != 0) return unreadable;
    KLOG_TRY_ASSIGN(const std::vector<PositionLine> lines, decode_positions(positions));
    if (lines.size() != definitions.size()) return unreadable;
    for (std::size_t i = 0; i < lines.size(); ++i) {
        KLOG_TRY(replay_definition(lines[i].name, definitions[i]));
    }
    return replay_positions(positions);
}

}  // namespace klog
