#include "base/fifo.h"

#include <doctest/doctest.h>

#include <deque>
#include <memory>
#include <random>
#include <vector>

using klog::Fifo;

TEST_CASE("fifo: it gives what a deque gives, however it was filled and emptied") {
    std::mt19937 random(7);
    Fifo<int> fifo;
    std::deque<int> model;
    for (int step = 0; step < 20'000; ++step) {
        // Long stretches of filling and of emptying, so that it grows, moves and runs empty.
        const bool fill = (step / 300) % 2 == 0 ? random() % 4 != 0 : random() % 4 == 0;
        if (fill) {
            fifo.push_back(step);
            model.push_back(step);
        } else if (!model.empty()) {
            fifo.pop_front();
            model.pop_front();
        }
        REQUIRE(fifo.size() == model.size());
        REQUIRE(fifo.empty() == model.empty());
        if (model.empty()) continue;
        REQUIRE(fifo.front() == model.front());
        REQUIRE(fifo.back() == model.back());
        if (step % 50 == 0)
            CHECK(std::vector<int>(fifo.begin(), fifo.end()) ==
                  std::vector<int>(model.begin(), model.end()));
    }
}

TEST_CASE("fifo: what was taken is let go of at once") {
    Fifo<std::shared_ptr<int>> fifo;
    const auto item = std::make_shared<int>(1);
    for (int i = 0; i < 3; ++i) fifo.push_back(item);
    CHECK(item.use_count() == 4);
    fifo.pop_front();
    CHECK(item.use_count() == 3);
    fifo.clear();
    CHECK(item.use_count() == 1);
    CHECK(fifo.empty());
}
