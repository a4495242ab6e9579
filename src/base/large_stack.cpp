#include "schemagate/base/large_stack.hpp"

#include <pthread.h>

#include <exception>

namespace schemagate {
namespace {

constexpr std::size_t k_harmless_size_bytes = 8UL * 1024;  // 8 MB hold about 6,000 levels
constexpr std::size_t k_stack_size_bytes = 256UL * 1024 * 1024;

struct Work {
  const std::function<void()>& run;
  std::exception_ptr thrown;
};

void* run(void* argument) {
  auto& work = *static_cast<Work*>(argument);
  try {
    work.run();
  } catch (...) {
    work.thrown = std::current_exception();
  }
  return nullptr;
}

}  // namespace

void with_stack_for(std::size_t input_size_bytes, const std::function<void()>& work) {
  if (input_size_bytes <= k_harmless_size_bytes) return work();
  pthread_attr_t attributes;
  pthread_t thread{};
  ::pthread_attr_init(&attributes);
  ::pthread_attr_setstacksize(&attributes, k_stack_size_bytes);
  Work shared{work, nullptr};
  const bool started = ::pthread_create(&thread, &attributes, run, &shared) == 0;
  ::pthread_attr_destroy(&attributes);
  if (!started) return work();
  ::pthread_join(thread, nullptr);
  if (shared.thrown) std::rethrow_exception(shared.thrown);
}

}  // namespace schemagate
