#pragma once

#include <vector>

namespace fetchd::bench {

// CPU seconds (user and system, all threads) of a process of this machine since it began, by its CPU clock: nanoseconds
// where /proc/PID/stat has ticks of 10 ms. 0 if there is no such process.
double CpuSeconds(int pid);

// The same, summed.
double CpuSeconds(const std::vector<int>& pids);

// Largest resident set of a process so far (VmHWM), in MiB. 0 if there is no such process.
double PeakRssMib(int pid);

// What the cores of this machine did since boot, in seconds.
struct MachineTime {
  double busy = 0;   // Anything but idle and waiting for a disk.
  double steal = 0;  // Taken by the host of this virtual machine.
};
MachineTime ReadMachineTime();

}  // namespace fetchd::bench
