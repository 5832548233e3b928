// Randomness that spreads the requests of many clients.
#pragma once

#include <cstdlib>

namespace vitalsd::net::kubernetes {

/// A random number from 0 to 1. Probe loop only; not for secrets.
inline double random_ratio() {
  return static_cast<double>(std::rand()) / RAND_MAX;  // NOLINT(concurrency-mt-unsafe): one thread
}

}  // namespace vitalsd::net::kubernetes
