#include "schemagate/base/wait.hpp"

#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <thread>
#include <vector>

using namespace schemagate;
using namespace std::chrono_literals;

TEST_SUITE("wait") {
  TEST_CASE("a back-off doubles up to its limit and strays at most a quarter") {
    for (int round = 0; round < 200; ++round) {
      Backoff backoff{100ms, 1s};
      for (const auto around : {100ms, 200ms, 400ms, 800ms, 1000ms, 1000ms, 1000ms}) {
        const auto value = backoff.next();
        CHECK(value >= around * 3 / 4);
        CHECK(value <= around * 5 / 4);
      }
    }
  }

  TEST_CASE("waiters with the same back-off do not come back at the same moment") {
    Milliseconds least = 1h;
    Milliseconds most = 0ms;
    for (int i = 0; i < 100; ++i) {
      const auto value = jittered(1s);
      least = std::min(least, value);
      most = std::max(most, value);
    }
    CHECK(most - least > 100ms);
    CHECK(jittered(0ms) == 0ms);
    CHECK(jittered(3ms) == 3ms);
  }

  TEST_CASE("a back-off that starts above its limit comes down to it") {
    Backoff backoff{10s, 1s};
    (void)backoff.next();
    CHECK(backoff.next() <= 1250ms);
  }

  TEST_CASE("durations are told as a person would") {
    CHECK(for_people(0ms) == "0 ms");
    CHECK(for_people(850ms) == "850 ms");
    CHECK(for_people(999ms) == "999 ms");
    CHECK(for_people(1s) == "1 s");
    CHECK(for_people(1500ms) == "1.5 s");
    CHECK(for_people(12s) == "12 s");
    CHECK(for_people(12'900ms) == "12 s");
    CHECK(for_people(59'999ms) == "59 s");
    CHECK(for_people(1min) == "1 min");
    CHECK(for_people(200s) == "3 min 20 s");
    CHECK(for_people(90min) == "90 min");
  }

  TEST_CASE("a deadline has passed when nothing remains, and never remains negative") {
    const Deadline past{-5s};
    CHECK(past.passed());
    CHECK(past.remaining() == 0ms);
    const Deadline future{1h};
    CHECK_FALSE(future.passed());
    CHECK(future.remaining() > 59min);
    CHECK(future.remaining() <= 1h);
  }

  TEST_CASE("the first reason to stop wins and stays") {
    Stop stop;
    CHECK_FALSE(stop.requested());
    CHECK_NOTHROW(stop.check());
    stop.request(Failure{ExitCode::lease_lost, "lease lost", "try again"});
    stop.request(Failure{ExitCode::connection_lost, "connection lost"});
    CHECK(stop.requested());
    CHECK(stop.token().stop_requested());
    for (int i = 0; i < 2; ++i) {
      try {
        stop.check();
        FAIL("check() did not throw");
      } catch (const Failure& why) {
        CHECK(why.code() == ExitCode::lease_lost);
        CHECK(std::string{why.what()} == "lease lost");
        CHECK(why.hint() == "try again");
      }
    }
  }

  TEST_CASE("of many reasons given at once exactly one is kept") {
    Stop stop;
    {
      std::vector<std::jthread> threads;
      for (int i = 0; i < 8; ++i)
        threads.emplace_back([&stop, i] {
          stop.request(Failure{ExitCode::internal, "reason " + std::to_string(i)});
        });
    }
    std::string first;
    for (int i = 0; i < 3; ++i) {
      try {
        stop.check();
      } catch (const Failure& why) {
        if (first.empty()) first = why.what();
        CHECK(first == why.what());
      }
    }
    CHECK(first.starts_with("reason "));
  }

  TEST_CASE("whoever is told of the stop can ask for the reason") {
    Stop stop;
    std::string seen;
    const std::stop_callback callback{stop.token(), [&] {
                                        try {
                                          stop.check();
                                        } catch (const Failure& why) {
                                          seen = why.what();
                                        }
                                      }};
    stop.request(Failure{ExitCode::lease_lost, "lease lost"});
    CHECK(seen == "lease lost");
  }

  TEST_CASE("a sleep lasts as long as asked") {
    const Stop stop;
    const auto start = Clock::now();
    CHECK(sleep(30ms, stop));
    CHECK(Clock::now() - start >= 30ms);
    CHECK(sleep(0ms, stop));
  }

  TEST_CASE("a stop ends a sleep at once") {
    Stop stop;
    const auto start = Clock::now();
    std::jthread other{[&stop] {
      std::this_thread::sleep_for(20ms);
      stop.request(Failure{ExitCode::internal, "enough"});
    }};
    CHECK_FALSE(sleep(10min, stop));
    CHECK_FALSE(sleep(10min, stop));
    CHECK(Clock::now() - start < 5min);
  }

  TEST_CASE("a signal becomes a reason to stop with its own exit code") {
    Stop stop;
    {
      const SignalWatch watch{stop};
      CHECK_FALSE(stop.requested());
      ::kill(::getpid(), SIGTERM);
      CHECK_FALSE(sleep(1min, stop));
    }
    try {
      stop.check();
      FAIL("check() did not throw");
    } catch (const Failure& why) {
      CHECK(static_cast<int>(why.code()) == 128 + SIGTERM);
    }
  }

  TEST_CASE("the signal mask is as before once nobody watches") {
    sigset_t before{};
    sigset_t after{};
    ::pthread_sigmask(SIG_SETMASK, nullptr, &before);
    {
      Stop stop;
      const SignalWatch watch{stop};
    }
    ::pthread_sigmask(SIG_SETMASK, nullptr, &after);
    for (const int signal : {SIGTERM, SIGINT, SIGHUP})
      CHECK(sigismember(&before, signal) == sigismember(&after, signal));
  }
}
