#include "log/prepare.h"

#include <string>

#include "log/guards.h"
#include "log/prepare_atomic.h"
#include "segment/record_hash.h"
#include "topic/topic.h"

namespace klog {
namespace {

void add_field(SipHash& hash, std::string_view field) {
    hash.update_u64(field.size());
    hash.update(field);
}

Error sized(Code code, std::string_view what, std::size_t bytes, std::size_t limit) {
    return Error{code,
                 std::string(what) + " has " + std::to_string(bytes) + " bytes, the limit is " +
                     std::to_string(limit),
                 {}};
}

std::optional<Error> bad_record(const WriteRecord& record, std::uint64_t value_bytes_max,
                                bool internal) {
    if (Status status = check_topic(record.topic); !status) return std::move(status).error();
    if (is_reserved_topic(record.topic) && !internal) {
        return Error{Code::reserved_topic,
                     "topics that begin with \"$\" are klog's own and cannot be written",
                     "begin the topic with another character"};
    }
    if (record.has_key) {
        if (Status status = check_key(record.key); !status) return std::move(status).error();
    }
    if (record.id.size() > Limits::kIdBytesMax) {
        return sized(Code::bad_record, "the id", record.id.size(), Limits::kIdBytesMax);
    }
    if (record.value.size() > value_bytes_max && !internal) {
        Error error =
            sized(Code::value_too_large, "the value", record.value.size(), value_bytes_max);
        error.hint = "klog daemon --value-bytes-max N raises the limit, up to 64 MiB";
        return error;
    }
    // The stored form has a length of at most four bytes before each name and value.
    if (record.headers.size() > Limits::kHeadersBytesMax + 8 * Limits::kHeadersMax) {
        return Error{Code::headers_too_large, "headers have at most 64 KiB together", {}};
    }
    if (!record.has_key && record.expect.form != Expect::Form::any) {
        return Error{Code::bad_record, "an expected version needs a key",
                     "name the entity: -k KEY"};
    }
    if (!record.has_key && record.kind == Kind::tombstone) {
        return Error{Code::bad_record, "a tombstone needs a key", "name the entity: -k KEY"};
    }
    if (!internal && record.kind != Kind::plain && record.kind != Kind::tombstone) {
        return Error{Code::bad_record, "this version writes plain records and tombstones only", {}};
    }
    return std::nullopt;
}

std::size_t bytes_of(const GuardLook& look) {
    std::size_t bytes = sizeof(GuardLook);
    if (!look.set) return bytes;
    for (const auto filters : {look.set->filters(), look.set->not_filters()}) {
        for (const Filter& filter : filters) {
            bytes += filter.bytes();
        }
    }
    return bytes;
}

// Guards over filters stand in WriteBatch::Looked in the order of their records.
void number_guards(WriteBatch& batch) {
    std::uint32_t next = 0;
    for (std::size_t i = 0; i < batch.records.size(); ++i) {
        if (batch.records[i].guard != nullptr) batch.prepared->records[i].guard = next++;
    }
}

}  // namespace

Hash128 write_digest(const HashKey& key, Kind kind, Encoding encoding, std::string_view topic,
                     std::string_view value) {
    SipHash hash(key);
    hash.update_u64(static_cast<std::uint64_t>(HashDomain::digest) |
                    static_cast<std::uint64_t>(kind) << 16U |
                    static_cast<std::uint64_t>(encoding) << 24U);
    add_field(hash, topic);
    add_field(hash, value);
    return hash.finish();
}

Hash128 session_hash(const HashKey& key, const SessionId& session) {
    SipHash hash(key);
    hash.update_u64(static_cast<std::uint64_t>(HashDomain::session));
    hash.update({reinterpret_cast<const char*>(session.bytes.data()), session.bytes.size()});
    return hash.finish();
}

void prepare_batch(WriteBatch& batch, const HashKey& key, std::uint64_t value_bytes_max) {
    if (!batch.prepared) batch.prepared = std::make_shared<WriteBatch::Prepared>();
    WriteBatch::Prepared& prepared = *batch.prepared;
    prepared.records.resize(batch.records.size());
    batch.results.assign(batch.records.size(), WriteResult{});
    if (batch.stream && !batch.stream->session.empty()) {
        prepared.session = session_hash(key, batch.stream->session);
    }
    for (std::size_t i = 0; i < batch.records.size(); ++i) {
        const WriteRecord& record = batch.records[i];
        PreparedRecord& out = prepared.records[i];
        prepared.bytes += record.value.size() + record.topic.size() + record.key.size() +
                          record.headers.size() + sizeof(WriteRecord) + sizeof(PreparedRecord);
        out.error = bad_record(record, value_bytes_max, prepared.internal);
        if (out.error) continue;
        if (record.has_key) out.entity = entity_hash(key, space_of(record.topic), record.key);
        if (!record.id.empty()) {
            out.id = id_hash(key, record.topic, record.has_key, record.key, record.id);
            out.digest =
                write_digest(key, record.kind, record.encoding, record.topic, record.value);
        }
    }
    compile_guards(batch);
    if (batch.looked) {
        number_guards(batch);
        for (const GuardLook& look : batch.looked->guards) prepared.bytes += bytes_of(look);
    }
    if (batch.atomic) prepare_atomic(batch, key, value_bytes_max);
}

Status look_up(WriteBatch& batch, const RunSet& runs, const std::vector<bool>& head_in_memory) {
    WriteBatch::Prepared& prepared = *batch.prepared;
    prepared.runs_generation = runs.generation();
    std::vector<Hash128> hashes;
    std::vector<PreparedRecord*> askers;
    const auto ask = [&](PreparedRecord& record, bool has_key, bool in_memory) {
        record.head.reset();
        record.known_id.reset();
        if (record.error || !has_key || in_memory) return;
        hashes.push_back(record.entity);
        askers.push_back(&record);
    };
    for (std::size_t i = 0; i < prepared.records.size(); ++i) {
        ask(prepared.records[i], batch.records[i].has_key, head_in_memory[i]);
    }
    for (std::size_t i = 0; i < prepared.guards.size(); ++i) {
        ask(prepared.guards[i].record, prepared.guards[i].of_entity,
            head_in_memory[prepared.records.size() + i]);
    }
    std::vector<std::optional<HeadEntry>> heads(hashes.size());
    KLOG_TRY(runs.find_heads(hashes, heads));
    for (std::size_t i = 0; i < askers.size(); ++i) askers[i]->head = heads[i];

    // An entity that never existed has no ids either.
    hashes.clear();
    std::vector<std::size_t> owners;
    for (std::size_t i = 0; i < prepared.records.size(); ++i) {
        const PreparedRecord& record = prepared.records[i];
        if (record.error || batch.records[i].id.empty()) continue;
        if (batch.records[i].has_key && !head_in_memory[i] && !record.head) continue;
        hashes.push_back(record.id);
        owners.push_back(i);
    }
    std::vector<std::optional<IdEntry>> ids(hashes.size());
    KLOG_TRY(runs.find_ids(hashes, ids));
    for (std::size_t i = 0; i < owners.size(); ++i) prepared.records[owners[i]].known_id = ids[i];

    if (batch.stream && !batch.stream->session.empty()) {
        KLOG_TRY_ASSIGN(prepared.known_session, runs.find_session(prepared.session));
    }
    return {};
}

}  // namespace klog
