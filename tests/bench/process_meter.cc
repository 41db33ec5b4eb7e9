#include "bench/process_meter.h"

#include <time.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <string>

namespace fetchd::bench {

double CpuSeconds(int pid) {
  clockid_t clock;
  timespec time;
  if (pid <= 0 || clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &time) != 0) return 0;
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

double CpuSeconds(const std::vector<int>& pids) {
  double sum = 0;
  for (int pid : pids) sum += CpuSeconds(pid);
  return sum;
}

double PeakRssMib(int pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("VmHWM:", 0) == 0) return std::atof(line.c_str() + 6) / 1024;
  }
  return 0;
}

MachineTime ReadMachineTime() {
  std::ifstream file("/proc/stat");
  std::string cpu;
  double user = 0, nice = 0, system = 0, idle = 0, io_wait = 0, irq = 0, soft_irq = 0, steal = 0;
  file >> cpu >> user >> nice >> system >> idle >> io_wait >> irq >> soft_irq >> steal;
  const auto hz = static_cast<double>(sysconf(_SC_CLK_TCK));
  return {(user + nice + system + irq + soft_irq) / hz, steal / hz};
}

}  // namespace fetchd::bench
