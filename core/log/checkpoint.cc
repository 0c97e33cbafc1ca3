#include "log/checkpoint.h"

#include "base/coding.h"

namespace klog {
namespace {

constexpr std::uint8_t kForm = 1;

}  // namespace

std::string encode_checkpoint(const CheckpointRecord& record) {
    std::string out;
    put_varint(out, record.settings.size());
    for (const auto& [topic, value] : record.settings) {
        put_bytes(out, topic);
        put_bytes(out, value);
    }
    put_u8(out, kForm);
    put_varint(out, record.as_of.value);
    put_varint(out, record.previous.value);
    put_bytes(out, record.consumers);
    return out;
}

Result<CheckpointRecord> decode_checkpoint(std::string_view value, Seq seq) {
    ByteReader in(value);
    CheckpointRecord record;
    for (std::uint64_t left = in.varint(); left > 0 && in.ok(); --left) {
        const std::string_view topic = in.bytes();
        const std::string_view text = in.bytes();
        if (in.ok()) record.settings.insert_or_assign(std::string(topic), std::string(text));
    }
    record.as_of = seq;
    if (in.ok() && in.left() > 0) {
        const std::uint8_t form = in.u8();
        record.as_of.value = in.varint();
        record.previous.value = in.varint();
        record.consumers = in.bytes();
        if (form != kForm || record.as_of > seq || record.previous >= seq) in.raw(in.left() + 1);
    }
    if (!in.ok() || in.left() != 0) {
        return Error{Code::corrupt, "a settings checkpoint cannot be decoded", {}};
    }
    return record;
}

}  // namespace klog
