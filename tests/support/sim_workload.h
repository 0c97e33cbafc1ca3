// What the simulator's producers and readers do, by chance and from a seed alone.
#ifndef KLOG_TESTS_SUPPORT_SIM_WORKLOAD_H
#define KLOG_TESTS_SUPPORT_SIM_WORKLOAD_H

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "support/model_batch.h"

namespace klog::test {

// splitmix64: the same numbers everywhere.
class SimDice {
public:
    explicit SimDice(std::uint64_t seed) : state_(seed) {}
    std::uint64_t next() {
        std::uint64_t z = (state_ += 0x9E3779B97F4A7C15ULL);
        z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9ULL;
        z = (z ^ (z >> 27U)) * 0x94D049BB133111EBULL;
        return z ^ (z >> 31U);
    }
    std::uint64_t below(std::uint64_t n) { return next() % n; }
    std::uint64_t between(std::uint64_t least, std::uint64_t most) {
        return least + below(most - least + 1);
    }
    bool chance(std::uint64_t percent) { return below(100) < percent; }
    template <class T>
    const T& pick(const std::vector<T>& from) {
        return from[static_cast<std::size_t>(below(from.size()))];
    }

private:
    std::uint64_t state_;
};

class SimWorkload {
public:
    SimWorkload(SimDice& dice, const ModelLog& model) : dice_(dice), model_(model) {}

    SentBatch batch() {
        SentBatch sent;
        const std::uint64_t kind = dice_.below(12);
        if (kind >= 10) return atomic_batch();
        if (kind < 2) {
            sent.stream = session_stream(sent.puts);
            return sent;
        }
        if (kind < 5) {
            sent.stream = std::make_shared<ModelStream>();
            sent.stream->stream->stop_on_error = dice_.chance(50);
        }
        const std::uint64_t count = dice_.chance(70) ? dice_.between(1, 5) : dice_.between(6, 20);
        for (std::uint64_t i = 0; i < count; ++i) sent.puts.push_back(put());
        return sent;
    }

    // What a worker writes: a batch that nothing stands against.
    SentBatch results() {
        SentBatch sent;
        sent.atomic = true;
        for (std::uint64_t left = dice_.chance(15) ? 0 : dice_.between(1, 4); left > 0; --left) {
            Put one;
            one.topic = dice_.chance(50) ? "a/y" : "c";
            if (dice_.chance(50)) one.key = key();
            one.value = value();
            if (dice_.chance(5)) one.value.resize(dice_.between(10'000, 70'000), '.');
            sent.puts.push_back(std::move(one));
        }
        return sent;
    }

    ReadOptions reading() {
        static const std::vector<std::vector<std::string>> kFilters = {
            {">"}, {"a/>"}, {"a/*"}, {"*/x"}, {"b/y/z"}, {"a/x", "b/>"}, {"c"}, {"b/#"}};
        ReadOptions options;
        options.filters = dice_.pick(kFilters);
        if (dice_.chance(25)) options.not_filters = {"a/x"};
        if (dice_.chance(20)) options.key = key();
        return options;
    }

    std::string key() { return "k" + std::to_string(dice_.below(dice_.chance(80) ? 6 : 400)); }

private:
    SentBatch atomic_batch() {
        SentBatch sent;
        sent.atomic = true;
        if (!batches_.empty() && dice_.chance(15)) {  // once more, or a part of it
            sent.puts = dice_.pick(batches_);
            if (dice_.chance(30)) sent.puts.pop_back();
            if (dice_.chance(20)) sent.puts.push_back(put());
            return sent;
        }
        const bool large = dice_.chance(15);  // of several frames
        const bool named = dice_.chance(40);
        const bool calm = dice_.chance(60);  // most lines hold
        for (std::uint64_t left = dice_.between(dice_.chance(10) ? 0 : 1, 8); left > 0; --left) {
            Put one = put();
            if (calm) one.guard.reset();
            if (calm && dice_.chance(95)) one.expect = Expect{};
            if (large && dice_.chance(60)) one.value.resize(dice_.between(10'000, 70'000), '.');
            if (named && one.id.empty()) one.id = "b" + std::to_string(++serial_);
            sent.puts.push_back(std::move(one));
        }
        for (std::uint64_t left = dice_.below(4); left > 0; --left) {
            SentGuard one;
            if (dice_.chance(60)) {
                one.filters = guard();
                if (calm && dice_.chance(90)) one.filters->none = {"never/*", "a/zz*"};
            } else {
                Put of;
                of.topic = "a";
                of.key = key();
                one.space = of.topic;
                one.key = of.key;
                one.expect = calm ? expect_version(model_.head_of(of).version) : expect(of);
            }
            sent.guards.push_back(std::move(one));
        }
        if (named && !sent.puts.empty()) batches_.push_back(sent.puts);
        if (batches_.size() > 20) batches_.erase(batches_.begin());
        return sent;
    }

    FilterGuard guard() {
        static const std::vector<std::vector<std::string>> kNone = {
            {"a/x"}, {"a/*"},     {"c"},          {"b/y/z", "c"}, {"s/0"},
            {"*/x"}, {"never/>"}, {"b/>", "a/y"}, {">"},          {"b*/#"}};
        FilterGuard guard;
        guard.none = dice_.pick(kNone);
        if (dice_.chance(20)) guard.not_filters = {dice_.chance(50) ? "a/x" : "*/x"};
        const std::uint64_t head = model_.head();
        const std::uint64_t back = dice_.chance(75) ? dice_.below(12) : dice_.below(head + 1);
        guard.after = Seq{head - std::min(head, back)};
        if (dice_.chance(5)) guard.after.value += dice_.below(40);
        if (dice_.chance(5)) guard.after = Seq{};
        return guard;
    }

    Put put() {
        if (!sent_.empty() && dice_.chance(15)) {  // once more, as it was or with another value
            Put again = dice_.pick(sent_);
            if (dice_.chance(30)) again.value += "'";
            return again;
        }
        static const std::vector<std::string> kTopics = {"a/x", "a/y", "b/x", "b/y/z", "c"};
        Put put;
        put.topic = dice_.pick(kTopics);
        if (dice_.chance(85)) put.key = key();
        put.value = value();
        if (dice_.chance(5)) put.headers = encode_headers({{"n", std::to_string(serial_)}});
        if (!put.key.empty()) {
            if (dice_.chance(10)) put.kind = Kind::tombstone;
            if (dice_.chance(40)) put.expect = expect(put);
        }
        if (dice_.chance(12)) put.guard = guard();
        if (dice_.chance(3)) spoil(put);
        if (dice_.chance(40)) {
            put.id = "id" + std::to_string(serial_);
            sent_.push_back(put);
            if (sent_.size() > 200) sent_.erase(sent_.begin(), sent_.begin() + 100);
        }
        return put;
    }

    // No two values are the same but where a put is sent once more.
    std::string value() {
        std::string text = std::to_string(++serial_) + ":";
        std::uint64_t bytes = dice_.chance(60) ? dice_.below(100) : dice_.below(3000);
        if (dice_.chance(1)) bytes = dice_.between(60'000, 150'000);
        std::uint64_t noise = dice_.next();
        while (text.size() < bytes) {
            text.push_back(static_cast<char>(noise >> 56U));
            noise = noise * 6364136223846793005ULL + 1442695040888963407ULL;
        }
        return text;
    }

    Expect expect(const Put& put) {
        const std::uint64_t now = model_.head_of(put).version;
        switch (dice_.below(6)) {
            case 0:
                return expect_absent();
            case 1:
                return expect_exists();
            case 2:
                return expect_version(now + 1);
            case 3:
                return expect_version(dice_.below(3));
            default:
                return expect_version(now);
        }
    }

    void spoil(Put& put) {
        switch (dice_.below(4)) {
            case 0:
                put.topic = "a//x";
                break;
            case 1:
                put.topic = "$klog/settings/x";
                break;
            case 2:
                put.key.clear();
                put.expect = expect_absent();
                break;
            default:
                put.key.clear();
                put.kind = Kind::tombstone;
                break;
        }
    }

    // The lines of a producer that is not sure how far it came.
    std::shared_ptr<ModelStream> session_stream(std::vector<Put>& puts) {
        auto stream = std::make_shared<ModelStream>();
        stream->stream->session.bytes.fill(static_cast<std::uint8_t>(1 + dice_.below(3)));
        const std::uint64_t highest = model_.highest_line(stream->stream->session);
        std::uint64_t line = highest + 1 - std::min(highest, dice_.below(4));
        for (std::uint64_t left = dice_.between(1, 8); left > 0; --left) {
            Put put;
            put.topic = "s/" + std::to_string(dice_.below(3));
            put.key = key();
            put.value = value();
            put.line = line++;
            puts.push_back(std::move(put));
        }
        return stream;
    }

    SimDice& dice_;
    const ModelLog& model_;
    std::vector<Put> sent_;
    std::vector<std::vector<Put>> batches_;  // whose records all have ids
    std::uint64_t serial_ = 0;
};

}  // namespace klog::test

#endif  // KLOG_TESTS_SUPPORT_SIM_WORKLOAD_H
