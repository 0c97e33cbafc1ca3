#include <doctest/doctest.h>
#include <rapidcheck.h>

#include "segment/record_codec.h"

using namespace klog;

namespace {

struct Owned {
    RecordView view;
    std::string topic, key, id, headers, value;
};

std::string any_bytes() { return *rc::gen::container<std::string>(rc::gen::arbitrary<char>()); }

std::unique_ptr<Owned> any_record(std::uint64_t seq, Time base) {
    auto owned = std::make_unique<Owned>();
    RecordView& view = owned->view;
    owned->topic = *rc::gen::element<std::string>("a", "a/b", "shop/orders/1", "x");
    owned->key = any_bytes();
    owned->id = any_bytes();
    owned->value = any_bytes();
    if (*rc::gen::arbitrary<bool>()) owned->headers = encode_headers({{"name", owned->id}});
    view.seq = {seq};
    view.version = {*rc::gen::arbitrary<std::uint64_t>()};
    view.time = {base.micros + *rc::gen::inRange<std::int64_t>(0, INT64_C(1) << 40)};
    view.kind = static_cast<Kind>(*rc::gen::inRange(0, 7));
    view.encoding = static_cast<Encoding>(*rc::gen::inRange(0, 2));
    view.has_key = *rc::gen::arbitrary<bool>();
    view.has_event_time = *rc::gen::arbitrary<bool>();
    if (view.has_event_time) view.event_time = {*rc::gen::arbitrary<std::int64_t>()};
    if (*rc::gen::arbitrary<bool>()) {
        view.session.bytes.fill(*rc::gen::inRange<std::uint8_t>(1, 255));
        view.session_line = *rc::gen::arbitrary<std::uint64_t>();
    }
    view.topic = owned->topic;
    if (view.has_key) view.key = owned->key;
    view.id = owned->id;
    view.headers = owned->headers;
    view.value = owned->value;
    return owned;
}

bool same(const RecordView& a, const RecordView& b) {
    return a.seq == b.seq && a.version == b.version && a.time == b.time && a.kind == b.kind &&
           a.encoding == b.encoding && a.has_key == b.has_key &&
           a.has_event_time == b.has_event_time && a.event_time == b.event_time &&
           a.topic == b.topic && a.key == b.key && a.id == b.id && a.headers == b.headers &&
           a.value == b.value && a.session == b.session && a.session_line == b.session_line;
}

}  // namespace

TEST_CASE("record codec: what is encoded comes back") {
    CHECK(rc::check([] {
        const Time base{*rc::gen::inRange<std::int64_t>(-1000, INT64_C(1) << 50)};
        const auto count = *rc::gen::inRange<std::uint32_t>(0, 20);
        std::string payload = "before";
        RecordEncoder encoder(payload, Seq{1}, base);
        std::vector<std::unique_ptr<Owned>> records;
        std::uint64_t seq = 1;
        std::size_t bytes_max = 0;
        for (std::uint32_t i = 0; i < count; ++i) {
            seq += *rc::gen::inRange<std::uint64_t>(0, 1000);
            records.push_back(any_record(seq, base));
            encoder.add(records.back()->view);
            bytes_max += encoded_bytes_max(records.back()->view);
        }
        payload.erase(0, 6);
        RC_ASSERT(payload.size() <= bytes_max);
        RecordDecoder decoder(payload, Seq{1}, base, count);
        RecordView record;
        for (const auto& owned : records) {
            RC_ASSERT(decoder.next(record).value());
            RC_ASSERT(same(record, owned->view));
        }
        RC_ASSERT(!decoder.next(record).value());
    }));
}

TEST_CASE("record codec: no bytes crash the decoder") {
    CHECK(rc::check(
        [](const std::string& bytes, std::uint64_t first, std::int64_t base, std::uint16_t count) {
            RecordDecoder decoder(bytes, Seq{first}, Time{base}, count);
            RecordView record;
            std::uint32_t seen = 0;
            while (true) {
                const auto more = decoder.next(record);
                if (!more.ok() || !more.value()) break;
                ++seen;
            }
            RC_ASSERT(seen <= count);
        }));
}
