#include "log/consumers.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <random>
#include <string>
#include <thread>

#include "env/sim_env.h"
#include "klog/consumer.h"
#include "klog/log.h"
#include "support/log_helpers.h"

using namespace klog;
using namespace klog::test;

namespace {

struct Fixture {
    SimEnv env{11};
    StoreOptions options;
    std::unique_ptr<Store> store;

    Fixture() {
        options.dir = "/data";
        options.wal_first_file_bytes = 64 * 1024;
        options.wal_file_bytes = 128 * 1024;
        options.memtable_bytes_max = 64 * 1024;
        options.seal_bytes_min = 64 * 1024;
        open();
    }
    void open(bool read_only = false) {
        options.read_only = read_only;
        store.reset();
        auto opened = Store::open(env, options);
        REQUIRE_MESSAGE(opened.ok(), opened.error().message);
        store = std::move(opened).value();
    }
    void reopen_clean() {
        const Status closed = store->close();
        REQUIRE_MESSAGE(closed.ok(), closed.error().message);
        open();
    }
    void crash() {
        env.crash();
        open();
    }
    Log& log() { return store->default_log(); }
    Consumers& all() { return log().consumers(); }
    void fill(int records, const std::string& topic = "orders/1") {
        for (int i = 0; i < records; ++i) {
            REQUIRE(write_one(log(), {topic, "k" + std::to_string(i % 7)}).outcome ==
                    WriteResult::Outcome::written);
        }
    }
    ConsumerInfo make(const std::string& name, std::uint64_t start = 0) {
        ConsumerOptions wanted;
        wanted.filters = {"orders/>"};
        wanted.start_after = Seq{start};
        auto put = all().put(name, wanted);
        REQUIRE_MESSAGE(put.ok(), put.error().message);
        return put->consumer;
    }
    std::uint64_t position(const std::string& name) {
        const auto info = all().find(name);
        REQUIRE_MESSAGE(info.ok(), info.error().message);
        return info->position.value;
    }
};

Code code_of(const Status& status) { return status.error().code; }

}  // namespace

TEST_CASE("consumers: one is made, found, and keeps its filters") {
    Fixture f;
    f.fill(3);
    ConsumerOptions wanted;
    wanted.filters = {"orders/+", "users/"};
    wanted.not_filters = {"orders/x"};
    wanted.start_after = Seq{2};
    const auto made = f.all().put("billing", wanted);
    REQUIRE(made.ok());
    CHECK(made->made);
    CHECK(made->consumer.filters == std::vector<std::string>{"orders/*", "users/>"});
    CHECK(made->consumer.position == Seq{2});
    CHECK(made->consumer.lease == 0);
    CHECK(made->consumer.created.micros > 0);
    // In another spelling and order, from elsewhere: it is found and stays as it is.
    wanted.filters = {"users/>", "orders/*", "orders/*"};
    wanted.start_after = Seq{0};
    const auto found = f.all().put("billing", wanted);
    REQUIRE(found.ok());
    CHECK_FALSE(found->made);
    CHECK(found->consumer.position == Seq{2});
    wanted.not_filters.clear();
    const auto other = f.all().put("billing", wanted);
    REQUIRE_FALSE(other.ok());
    CHECK(other.error().code == Code::consumer_differs);
    for (int stop = 0; stop < 4; ++stop) {
        if (stop % 2 == 0) f.crash();
        if (stop % 2 == 1) f.reopen_clean();
        const auto kept = f.all().find("billing");
        REQUIRE(kept.ok());
        CHECK(kept->filters == made->consumer.filters);
        CHECK(kept->not_filters == made->consumer.not_filters);
        CHECK(kept->position == Seq{2});
        CHECK(kept->created == made->consumer.created);
    }
}

TEST_CASE("consumers: what cannot be one is refused") {
    Fixture f;
    ConsumerOptions wanted;
    for (const std::string& name :
         {std::string(), std::string("a/b"), std::string("a b"), std::string("*"),
          std::string("a\n"), std::string("\xff"), std::string(129, 'x')}) {
        const auto made = f.all().put(name, wanted);
        REQUIRE_FALSE(made.ok());
        CHECK_MESSAGE(made.error().code == Code::bad_option, made.error().message);
        CHECK(made.error().message.find("key space") == std::string::npos);
    }
    CHECK(f.all().put(std::string(128, 'x'), wanted).ok());
    CHECK(f.all().put("..", wanted).ok());
    for (const char* filter : {"", "a//b", "$klog/>", "$x"}) {
        wanted.filters = {filter};
        CHECK(f.all().put("c", wanted).error().code == Code::bad_filter);
    }
    wanted.filters = {"a"};
    wanted.start_after = Seq{1000};
    CHECK(f.all().put("c", wanted).error().code == Code::ack_ahead);
    CHECK(f.all().find("c").error().code == Code::not_found);
    CHECK(code_of(f.all().remove("c")) == Code::not_found);
    CHECK(code_of(f.all().reset("c", Seq{})) == Code::not_found);
    CHECK(f.all().lease("c").error().code == Code::not_found);
    CHECK(f.all().ack("c", Seq{1}, std::nullopt, "").error().code == Code::not_found);
    CHECK(f.log().put_setting("consumer/c", "x").error().code == Code::bad_option);
}

TEST_CASE("consumers: acks move a position forth only, and not beyond what is durable") {
    Fixture f;
    f.fill(5);
    f.make("c");
    const Seq head = f.log().head();
    CHECK(*f.all().ack("c", Seq{3}, std::nullopt, R"("ok")") == Seq{3});
    CHECK(f.all().find("c")->result == R"("ok")");
    CHECK(*f.all().ack("c", Seq{2}, std::nullopt, R"("late")") == Seq{3});
    CHECK(*f.all().ack("c", Seq{3}, std::nullopt, "") == Seq{3});
    CHECK(f.all().find("c")->result == R"("ok")");
    const auto ahead = f.all().ack("c", Seq{head.value + 1}, std::nullopt, "");
    REQUIRE_FALSE(ahead.ok());
    CHECK(ahead.error().code == Code::ack_ahead);
    CHECK(f.position("c") == 3);
    CHECK(f.all().ack("c", Seq{4}, std::nullopt, std::string(129, '1')).error().code ==
          Code::bad_option);
    CHECK(*f.all().ack("c", Seq{4}, std::nullopt, "") == Seq{4});
    CHECK(f.all().find("c")->result.empty());
}

TEST_CASE("consumers: acks cost no sync, and a crash takes some back and never adds any") {
    Fixture f;
    f.fill(50);
    f.make("c");
    const std::uint64_t syncs = f.store->stats().syncs;
    for (std::uint64_t seq = 1; seq <= 20; ++seq) REQUIRE(f.all().ack("c", Seq{seq}, {}, "").ok());
    CHECK(f.store->stats().syncs == syncs);
    CHECK(f.log().stats().positions_records == 0);
    f.crash();
    CHECK(f.position("c") == 0);
    REQUIRE(f.all().ack("c", Seq{20}, {}, R"({"n":1})").ok());
    REQUIRE(f.all().flush().ok());
    CHECK(f.log().stats().positions_records == 1);
    REQUIRE(f.all().flush().ok());
    CHECK(f.log().stats().positions_records == 1);  // nothing new, no record
    REQUIRE(f.all().ack("c", Seq{30}, {}, "").ok());
    f.crash();
    CHECK(f.position("c") == 20);
    CHECK(f.all().find("c")->result == R"({"n":1})");
    REQUIRE(f.all().ack("c", Seq{31}, {}, "").ok());
    f.reopen_clean();
    CHECK(f.position("c") == 31);
    REQUIRE(f.all().ack("c", Seq{33}, {}, "").ok());
    REQUIRE(f.store->maintain().ok());
    f.crash();
    CHECK(f.position("c") == 33);
}

TEST_CASE("consumers: a lease fences older ones, also after a restart and a new life") {
    Fixture f;
    f.fill(9);
    f.make("c");
    const auto first = f.all().lease("c");
    REQUIRE(first.ok());
    CHECK(first->lease > 0);
    CHECK(f.all().ack("c", Seq{1}, first->lease, "").ok());
    const auto second = f.all().lease("c");
    CHECK(second->lease > first->lease);
    CHECK(f.all().ack("c", Seq{2}, first->lease, "").error().code == Code::stale_lease);
    CHECK(code_of(f.all().pass("c", first->lease, Seq{}, Seq{5})) == Code::stale_lease);
    CHECK(f.position("c") == 1);
    f.crash();
    CHECK(f.all().find("c")->lease == second->lease);
    CHECK(f.position("c") == 1);  // the second lease's record holds what was acknowledged before
    CHECK(f.all().ack("c", Seq{2}, first->lease, "").error().code == Code::stale_lease);
    CHECK(f.all().ack("c", Seq{2}, second->lease, "").ok());
    REQUIRE(f.all().remove("c").ok());
    f.make("c");
    CHECK(f.position("c") == 0);
    const auto third = f.all().lease("c");
    CHECK(third->lease > second->lease);
    CHECK(f.all().ack("c", Seq{2}, second->lease, "").error().code == Code::stale_lease);
    // Nor may who worked before a reset move it forth again.
    REQUIRE(f.all().ack("c", Seq{5}, third->lease, "").ok());
    REQUIRE(f.all().reset("c", Seq{1}).ok());
    CHECK(f.all().ack("c", Seq{6}, third->lease, "").error().code == Code::stale_lease);
    CHECK(f.position("c") == 1);
    f.crash();
    CHECK(f.position("c") == 1);
}

TEST_CASE("consumers: a reset is exact whatever was gathered around it") {
    Fixture f;
    f.fill(30);
    f.make("c");
    REQUIRE(f.all().ack("c", Seq{20}, {}, "").ok());
    REQUIRE(f.all().reset("c", Seq{5}).ok());
    REQUIRE(f.all().flush().ok());
    CHECK(f.position("c") == 5);
    f.crash();
    CHECK(f.position("c") == 5);
    REQUIRE(f.all().ack("c", Seq{6}, {}, R"(1)").ok());
    REQUIRE(f.all().flush().ok());
    REQUIRE(f.all().reset("c", Seq{25}).ok());
    CHECK(f.all().find("c")->result.empty());
    f.reopen_clean();
    CHECK(f.position("c") == 25);
    CHECK(code_of(f.all().reset("c", Seq{f.log().head().value + 1})) == Code::ack_ahead);
}

TEST_CASE("consumers: a position moves past what does not match once all before is done") {
    Fixture f;
    f.fill(4);
    f.make("c");
    f.fill(6, "other/1");
    const std::uint64_t lease = f.all().lease("c")->lease;
    REQUIRE(f.all().pass("c", lease, Seq{4}, Seq{9}).ok());
    CHECK(f.position("c") == 0);
    REQUIRE(f.all().ack("c", Seq{4}, lease, "7").ok());
    REQUIRE(f.all().pass("c", lease, Seq{4}, Seq{9}).ok());
    CHECK(f.position("c") == 9);
    CHECK(f.all().find("c")->result == "7");
    REQUIRE(f.all().pass("c", lease, Seq{4}, Seq{8}).ok());
    CHECK(f.position("c") == 9);
}

TEST_CASE("consumers: idle ones are removed, others stay") {
    Fixture f;
    f.fill(2);
    for (const char* name : {"a", "b", "c", "d"}) f.make(name);
    f.env.advance(3'600'000'000);
    const Time before = f.env.now();
    REQUIRE(f.all().ack("b", Seq{1}, {}, "").ok());
    REQUIRE(f.all().lease("d").ok());
    const auto removed = f.all().remove_idle({"a", "b", "c", "d", "nobody"}, before);
    REQUIRE(removed.ok());
    CHECK(*removed == 2);
    const auto page = f.all().page("", 10);
    REQUIRE(page.rows.size() == 2);
    CHECK(page.rows[0].name == "b");
    CHECK(page.rows[1].name == "d");
    CHECK(f.log().stats().consumers == 2);
    f.crash();
    CHECK(f.all().page("", 10).rows.size() == 2);
    f.reopen_clean();
    CHECK(f.all().page("b", 10).rows.size() == 1);
}

TEST_CASE("consumers: many of them, through checkpoints in parts and sealed segments") {
    Fixture f;
    f.options.value_bytes_max = 1000;  // what klog keeps for itself may be longer
    f.open();
    f.fill(20);
    constexpr int kMany = 12'000;
    ConsumerOptions wanted;
    wanted.filters = {"orders/1/completed", "orders/2/completed"};
    for (int i = 0; i < kMany; ++i) {
        REQUIRE(f.all().put("consumer-of-a-build-" + std::to_string(i), wanted).ok());
    }
    for (int i = 0; i < kMany; i += 3) {
        REQUIRE(f.all().ack("consumer-of-a-build-" + std::to_string(i), Seq{7}, {}, "").ok());
    }
    REQUIRE(f.store->maintain().ok());
    for (int stop = 0; stop < 3; ++stop) {
        if (stop == 1) f.crash();
        if (stop == 2) f.reopen_clean();
        std::size_t seen = 0;
        std::string after;
        for (bool more = true; more;) {
            const auto page = f.all().page(after, 1000);
            more = page.more;
            seen += page.rows.size();
            after = page.rows.back().name;
            for (const ConsumerInfo& row : page.rows) {
                const int number = std::stoi(row.name.substr(20));
                REQUIRE(row.position == Seq{number % 3 == 0 ? 7U : 0U});
            }
        }
        CHECK(seen == kMany);
    }
    // Checkpoints stand in parts.
    ReadOptions own;
    own.filters = {"$klog/checkpoint"};
    CHECK(read_all(f.log(), own)->size() > 3);
    // What was removed does not come back.
    std::vector<std::string> names;
    for (int i = 0; i < 10'000; ++i) names.push_back("consumer-of-a-build-" + std::to_string(i));
    CHECK(*f.all().remove_idle(names, Time{f.env.now().micros + 1}) == 10'000);
    f.crash();
    CHECK(f.log().stats().consumers == kMany - 10'000);
    f.reopen_clean();
    f.crash();
    CHECK(f.log().stats().consumers == kMany - 10'000);
}

TEST_CASE("consumers: a start that reads nothing but a checkpoint knows all of them") {
    Fixture f;
    f.fill(40);
    f.make("first", 3);
    f.make("gone");
    f.make("worker");
    const std::uint64_t lease = f.all().lease("worker")->lease;
    REQUIRE(f.all().ack("worker", Seq{30}, lease, R"({"n":7})").ok());
    REQUIRE(f.all().ack("first", Seq{20}, {}, "").ok());
    REQUIRE(f.all().reset("first", Seq{11}).ok());
    REQUIRE(f.all().remove("gone").ok());
    const Time active = f.all().find("worker")->last_active;
    // An orderly stop writes the checkpoint and runs that cover all before it. The next start knows
    // it from the marker; those behind it from the header of the file that this start made, since
    // the marker is stale then.
    for (int start = 0; start < 4; ++start) {
        CAPTURE(start);
        if (start == 0 || start == 3) {
            REQUIRE(f.store->close().ok());
            f.open(true);  // who only reads finds it as well, and leaves it to the next start
            CHECK(f.position("first") == 11);
            CHECK(f.all().find("worker")->result == R"({"n":7})");
        }
        if (start == 1) f.crash();
        if (start != 1) f.open();
        REQUIRE(f.log().stats().consumers == 2);
        CHECK(f.all().find("first")->filters == std::vector<std::string>{"orders/>"});
        CHECK(f.position("first") == 11);
        const auto worker = f.all().find("worker");
        CHECK(worker->position == Seq{30});
        CHECK(worker->result == R"({"n":7})");
        CHECK(worker->lease == lease);
        CHECK(std::abs(worker->last_active.micros - active.micros) <= 1'000);  // kept in ms
        const auto stale = f.all().ack("worker", Seq{31}, lease - 1, "");
        REQUIRE_FALSE(stale.ok());
        CHECK(stale.error().code == Code::stale_lease);
    }
    ReadOptions own;
    own.filters = {"$klog/checkpoint"};
    CHECK(read_all(f.log(), own)->size() == 1);  // nothing was new, so it was not written again
}

TEST_CASE("consumers: whatever is done, and however it stops, a plain map says the same") {
    for (const unsigned seed : {1U, 2U, 3U, 4U}) {
        CAPTURE(seed);
        Fixture f;
        std::mt19937 random(seed);
        const auto below = [&](std::uint64_t n) { return random() % n; };
        struct Model {
            std::uint64_t position = 0;
            std::uint64_t durable = 0;
            std::uint64_t lease = 0;
        };
        std::map<std::string, Model> model;
        f.fill(3);
        for (int step = 0; step < 700; ++step) {
            const std::string name(1, static_cast<char>('a' + below(5)));
            const bool there = model.count(name) > 0;
            const std::uint64_t head = f.log().head().value;
            const std::uint64_t seq = below(head + 3);
            switch (below(11)) {
                case 0:
                case 1: {
                    f.make(name, std::min(seq, head));
                    if (!there) model[name] = {std::min(seq, head), std::min(seq, head), 0};
                    break;
                }
                case 2:
                    CHECK(f.all().remove(name).ok() == there);
                    model.erase(name);
                    break;
                case 3: {
                    const Status done = f.all().reset(name, Seq{seq});
                    CHECK(done.ok() == (there && seq <= head));
                    if (done.ok()) model[name].position = model[name].durable = seq;
                    if (done.ok()) model[name].lease = f.all().find(name)->lease;
                    break;
                }
                case 4: {
                    const auto leased = f.all().lease(name);
                    CHECK(leased.ok() == there);
                    if (!leased.ok()) break;
                    CHECK(leased->lease > model[name].lease);
                    model[name].lease = leased->lease;
                    model[name].durable = model[name].position;
                    break;
                }
                case 5:
                    f.fill(1 + static_cast<int>(below(40)));
                    break;
                case 6: {
                    const std::uint64_t roll = below(3);
                    if (roll == 0) REQUIRE(f.store->maintain().ok());
                    if (roll == 1) REQUIRE(f.all().flush().ok());
                    if (roll == 2) f.reopen_clean();
                    for (auto& [key, one] : model) one.durable = one.position;
                    break;
                }
                case 7:
                    f.crash();
                    for (auto& [key, one] : model) one.position = one.durable;
                    break;
                default: {
                    const bool leased = there && below(2) == 0;
                    const auto acked =
                        f.all().ack(name, Seq{seq},
                                    leased ? std::optional(model[name].lease) : std::nullopt, "");
                    CHECK(acked.ok() == (there && seq <= head));
                    if (acked.ok()) model[name].position = std::max(model[name].position, seq);
                    if (acked.ok()) CHECK(acked->value == model[name].position);
                }
            }
            const auto page = f.all().page("", 100);
            REQUIRE(page.rows.size() == model.size());
            for (const ConsumerInfo& row : page.rows) {
                REQUIRE(model.count(row.name) == 1);
                REQUIRE(row.position.value == model[row.name].position);
                REQUIRE(row.lease == model[row.name].lease);
            }
        }
    }
}

namespace {

BatchAck ack_of(std::string_view consumer, std::uint64_t seq,
                std::optional<std::uint64_t> lease = std::nullopt, std::string_view result = "") {
    BatchAck ack;
    ack.consumer = consumer;
    ack.seq = Seq{seq};
    ack.lease = lease;
    ack.result = result;
    return ack;
}

// An atomic batch of puts and acks, with its answer.
std::unique_ptr<WriteBatch> decide(Log& log, const std::vector<Put>& puts,
                                   std::vector<BatchAck> acks) {
    auto batch = make_batch(puts);
    batch->atomic = std::make_unique<AtomicPart>();
    std::uint64_t line = 0;
    for (WriteRecord& record : batch->records) record.line = ++line;
    for (BatchAck& ack : acks) ack.line = ++line;
    batch->atomic->acks = std::move(acks);
    std::unique_ptr<WriteBatch> answered;
    batch->done = [&](std::unique_ptr<WriteBatch> done) { answered = std::move(done); };
    log.append(std::move(batch));
    REQUIRE(answered != nullptr);
    return answered;
}

}  // namespace

TEST_CASE("consumers: results and position of a batch are kept or lost together") {
    Fixture f;
    f.fill(10);
    f.make("c");
    f.make("d");
    const std::uint64_t lease = f.all().lease("c")->lease;
    const std::uint64_t head = f.log().head().value;
    auto done = decide(f.log(), {{"results/1", "1", "{}"}, {"results/2", "2", "{}"}},
                       {ack_of("c", 4, lease, "\"ok\""), ack_of("d", 2)});
    CHECK(done->atomic->outcome == WriteResult::Outcome::written);
    CHECK(done->results[1].seq == Seq{head + 2});
    CHECK(f.position("c") == 4);
    CHECK(f.all().find("c")->result == "\"ok\"");
    f.crash();
    CHECK(f.position("c") == 4);
    CHECK(f.position("d") == 2);
    CHECK(f.all().find("c")->lease == lease);
    // Once more, as a worker does that never heard the answer: nothing is written twice.
    done = decide(f.log(), {{"results/1", "1", "{}"}}, {ack_of("c", 4, lease)});
    CHECK(done->atomic->outcome == WriteResult::Outcome::refused);
    CHECK(done->atomic->violations.at(0).error.code == Code::already_acked);
    // Whatever is wrong is told line by line, and nothing of it happens.
    REQUIRE(f.all().lease("d").ok());
    done = decide(f.log(), {{"results/3", "1", "{}"}},
                  {ack_of("nobody", 1), ack_of("d", 3, lease), ack_of("c", 4000, lease)});
    REQUIRE(done->atomic->violations.size() == 3);
    CHECK(done->atomic->violations[0].error.code == Code::not_found);
    CHECK(done->atomic->violations[0].line == 2);
    CHECK(done->atomic->violations[1].error.code == Code::stale_lease);
    CHECK(done->atomic->violations[2].error.code == Code::ack_ahead);
    done = decide(f.log(), {{"results/3", "1", "{}", "", expect_version(7)}}, {ack_of("d", 3)});
    CHECK(done->atomic->outcome == WriteResult::Outcome::refused);
    CHECK(f.position("d") == 2);
    CHECK(f.log().entity("results", "1")->version == Version{1});
    // An ack alone is a batch too.
    done = decide(f.log(), {}, {ack_of("d", 3)});
    CHECK(done->atomic->outcome == WriteResult::Outcome::written);
    CHECK(f.position("d") == 3);
    done = decide(f.log(), {}, {ack_of("d", 4, std::nullopt, std::string(200, '1'))});
    CHECK(done->atomic->violations.at(0).error.code == Code::bad_record);
    ReadOptions own;
    own.filters = {"$klog/positions"};
    const auto followed = f.log().read(own);
    CHECK(read_all(**followed)->size() >= 2);
}

TEST_CASE("consumers: a batch whose group is lost moves nobody") {
    Fixture f;
    f.fill(10);
    f.make("c");
    REQUIRE(f.all().ack("c", Seq{2}, {}, "").ok());
    f.env.set_capacity(f.env.used_bytes());
    std::unique_ptr<WriteBatch> done;
    for (std::uint64_t seq = 3; seq < 10; ++seq) {
        done = decide(f.log(), {{"results/1", "", std::string(60'000, 'x')}}, {ack_of("c", seq)});
        if (done->atomic->outcome != WriteResult::Outcome::written) break;
    }
    CHECK(done->atomic->error->code == Code::disk_full);
    const std::uint64_t stands = f.position("c");
    CHECK(stands < 9);
    // What was judged against the lost group is forgotten: the same batch is no repeat.
    f.env.set_capacity(~0ULL);
    REQUIRE(f.store->maintain().ok());
    done = decide(f.log(), {{"results/1", "", "1"}}, {ack_of("c", stands + 1)});
    CHECK(done->atomic->outcome == WriteResult::Outcome::written);
    CHECK(f.position("c") == stands + 1);
    f.crash();
    CHECK(f.position("c") == stands + 1);
}

TEST_CASE("consumers: a follower of everything reads on beside batches that acknowledge") {
    Fixture f;
    f.fill(3);
    f.make("c");
    ReadOptions options;
    options.filters = {">", "$klog/>"};
    options.follow = true;
    options.from.form = ReadFrom::Form::end;
    const auto reader = f.log().read(options);
    REQUIRE(reader.ok());
    CHECK(read_all(**reader)->empty());
    bool woken = false;
    (*reader)->on_ready([&] { woken = true; });
    const auto done =
        decide(f.log(), {{"results/1", "1", "{}"}, {"results/2", "2", "{}"}}, {ack_of("c", 2)});
    CHECK(done->atomic->outcome == WriteResult::Outcome::written);
    CHECK(woken);
    const auto records = read_all(**reader);
    REQUIRE(records->size() == 3);
    CHECK((*records)[2].topic == "$klog/positions");
}

TEST_CASE("consumers: a read-only store shows them and moves none") {
    Fixture f;
    f.fill(5);
    f.make("c");
    REQUIRE(f.all().ack("c", Seq{4}, {}, "").ok());
    REQUIRE(f.log().put_setting("other", "x").ok());
    REQUIRE(f.store->close().ok());
    f.open(true);
    CHECK(f.position("c") == 4);
    CHECK(f.log().setting("other") == "x");
    CHECK(f.all().ack("c", Seq{5}, {}, "").error().code == Code::not_allowed);
    CHECK(f.all().lease("c").error().code == Code::not_allowed);
    CHECK(f.all().put("d", {}).error().code == Code::not_allowed);
    CHECK(f.position("c") == 4);
}

TEST_CASE("consumers: a full disk refuses what must be durable and keeps what memory has") {
    Fixture f;
    f.fill(5);
    f.make("c");
    REQUIRE(f.all().ack("c", Seq{3}, {}, "").ok());
    f.env.set_capacity(f.env.used_bytes());
    for (const std::size_t bytes : {4000U, 300U, 1U}) {
        while (write_one(f.log(), {"orders/2", "", std::string(bytes, 'x')}).outcome ==
               WriteResult::Outcome::written) {
        }
    }
    const auto refused = [&](const Status& status) {
        return !status.ok() && status.error().code == Code::disk_full;
    };
    CHECK(refused(f.all().reset("c", Seq{1})));
    CHECK(f.position("c") == 3);
    CHECK(f.all().put("d", {}).error().code == Code::disk_full);
    CHECK(f.all().find("d").error().code == Code::not_found);
    CHECK(refused(f.all().flush()));
    CHECK(refused(f.all().remove("c")));
    CHECK(f.position("c") == 3);
    f.env.set_capacity(~0ULL);
    REQUIRE(f.store->maintain().ok());
    f.crash();
    CHECK(f.position("c") == 3);
}

TEST_CASE("consumers: damaged forms are told as such") {
    PositionLine line;
    line.name = "c";
    line.position = Seq{7};
    line.active = Time{1'000'000};
    line.lease = 5;
    line.result = "true";
    const std::string whole = encode_positions({line, line});
    const auto lines = decode_positions(whole);
    REQUIRE(lines.ok());
    REQUIRE(lines->size() == 2);
    CHECK((*lines)[1].position == Seq{7});
    CHECK((*lines)[1].lease == 5);
    CHECK((*lines)[1].result == "true");
    for (std::size_t cut = 0; cut < whole.size(); ++cut) {
        CHECK_FALSE(decode_positions(std::string_view(whole).substr(0, cut)).ok());
    }
    CHECK_FALSE(decode_positions(whole + "x").ok());
    ConsumerDefinition definition;
    definition.filters = {"a/*", "b"};
    definition.not_filters = {"a/x"};
    definition.start = Seq{300};
    const std::string defined = encode_definition(definition);
    CHECK((*decode_definition(defined))->filters == definition.filters);
    CHECK((*decode_definition(defined))->start == Seq{300});
    CHECK_FALSE(decode_definition(encode_removal())->has_value());
    for (std::size_t cut = 0; cut < defined.size(); ++cut) {
        CHECK_FALSE(decode_definition(std::string_view(defined).substr(0, cut)).ok());
    }
}
