// A stand-in for libcuda.so: the part of the driver API that dgc calls.
//
// Each thread of a block is a fiber, and blocks run one after another. Between barriers the fibers run in an order that
// DGC_EMULATOR_SEED shuffles, so that a race changes the result. The driver defers the work of a stream as long as the CUDA model
// allows: until the host waits for it, or for a stream that does. So missing synchronisation shows up as wrong results. It aborts
// where a context is released before its objects.
//
// DGC_EMULATOR_COUNT names a file that gets a line for each launch: the function; the bytes of device memory that it read and those
// that it wrote, each counted once; the sectors of 32 bytes that its warps asked for, and the fewest that would have held as much.
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif
#include <unistd.h>

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

enum {
    SUCCESS = 0,
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    NO_DEVICE = 100,
    INVALID_IMAGE = 200,
    NOT_FOUND = 500,
    NOT_READY = 600,
    LAUNCH_FAILED = 719
};

struct Index3 {
    unsigned x, y, z;
};
struct Emulator {
    Index3 thread, block, threads, blocks;
    void (*barrier)();
    unsigned (*shuffle)(unsigned value, unsigned lane);
    void (*access)(const void* at, size_t bytes, bool write, const void* place);
};

struct Function {
    std::string name;
    void* entry;
    int parameters;
};
struct Module {
    void* library;
    // Open while the library is loaded: the loader takes two libraries of one name for the same.
    int file;
    std::vector<std::unique_ptr<Function>> functions;
};
struct Launch {
    Function* function;
    Index3 blocks, threads;
    std::vector<uint64_t> arguments;
};
struct Graph {
    std::vector<Launch> launches;
};
struct Stream {
    Graph* capture = nullptr;
    std::deque<std::function<void()>> waiting;
    uint64_t put = 0, done = 0;
};
struct Event {
    Stream* stream = nullptr;
    uint64_t after = 0;
};

static Emulator emulator;
static std::map<uint64_t, size_t> allocations;
// Pinned memory of the host.
static std::map<uint64_t, size_t> pinned;
static std::vector<Stream*> streams;
// Objects that live, but for memory and streams.
static int events, modules, graphs, contexts;
static size_t allocated = 0;
static int failure = SUCCESS;

static size_t setting(const char* name, size_t otherwise) {
    const char* text = getenv(name);
    return text ? strtoull(text, nullptr, 10) : otherwise;
}

static void fail(const char* what, const char* kernel) {
    fprintf(stderr, "emulated GPU: %s in %s\n", what, kernel);
    failure = LAUNCH_FAILED;
}

// ---- fibers

constexpr size_t STACK = 256 * 1024;

// Where a stack of calls stopped, to go on later.
struct Context {
#if defined(__x86_64__)
    void* stack_pointer = nullptr;
#else
    ucontext_t saved;
#endif
};

struct Fiber {
    Context context;
    std::unique_ptr<char[]> stack;
    enum { READY, AT_BARRIER, AT_SHUFFLE, DONE } state;
    unsigned number, passed, wanted;
    void* fake = nullptr;
};

static std::vector<Fiber> fibers;
static Fiber* current;
static Context scheduler;
static const Launch* running;
static void* scheduler_fake;
static const void* scheduler_stack;
static size_t scheduler_size;

static void body();

#if defined(__x86_64__)

// `swapcontext` asks the kernel for the signal mask each time, which took most of a run. This keeps the registers that a called
// function must keep, and nothing else: emulator_switch(place of this stack pointer, stack pointer to go on with).
extern "C" void emulator_switch(void** from, void* to);
asm(R"(
    .text
    .type emulator_switch, @function
emulator_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size emulator_switch, . - emulator_switch
)");

static void prepare(Fiber& fiber) {
    // Six registers, then where to return to. A function begins with its stack pointer 8 bytes past a multiple of 16.
    uintptr_t end = (uintptr_t)(fiber.stack.get() + STACK) / 16 * 16;
    void** top = (void**)(end - 16);
    *top = (void*)body;
    for (int i = 1; i <= 6; ++i) top[-i] = nullptr;
    fiber.context.stack_pointer = top - 6;
}

static void go_on(Context& from, const Context& to) { emulator_switch(&from.stack_pointer, to.stack_pointer); }

#else

static void prepare(Fiber& fiber) {
    ucontext_t& context = fiber.context.saved;
    getcontext(&context);
    context.uc_stack.ss_sp = fiber.stack.get();
    context.uc_stack.ss_size = STACK;
    context.uc_link = nullptr;
    makecontext(&context, body, 0);
}

static void go_on(Context& from, const Context& to) { swapcontext(&from.saved, &to.saved); }

#endif

static void set_thread(unsigned number) {
    Index3 size = running->threads;
    emulator.thread = {number % size.x, number / size.x % size.y, number / size.x / size.y};
}

static void leave(bool for_good) {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(for_good ? nullptr : &current->fake, scheduler_stack, scheduler_size);
#endif
    go_on(current->context, scheduler);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(current->fake, &scheduler_stack, &scheduler_size);
#endif
}

static void enter(Fiber& fiber) {
    current = &fiber;
    set_thread(fiber.number);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&scheduler_fake, fiber.stack.get(), STACK);
#endif
    go_on(scheduler, fiber.context);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(scheduler_fake, nullptr, nullptr);
#endif
}

static void barrier() {
    current->state = Fiber::AT_BARRIER;
    leave(false);
}

static unsigned shuffle(unsigned value, unsigned lane) {
    current->passed = value;
    current->wanted = lane;
    current->state = Fiber::AT_SHUFFLE;
    leave(false);
    return current->wanted;
}

#define P4(i) p[i], p[i + 1], p[i + 2], p[i + 3]
#define P16(i) P4(i), P4(i + 4), P4(i + 8), P4(i + 12)
#define P64(i) P16(i), P16(i + 16), P16(i + 32), P16(i + 48)
#define T4 uint64_t, uint64_t, uint64_t, uint64_t
#define T16 T4, T4, T4, T4
#define T64 T16, T16, T16, T16

// Calls a function of pointers. By the calling convention a caller may pass more arguments than the function takes.
static void call() {
    const uint64_t* p = running->arguments.data();
    auto entry = reinterpret_cast<void (*)(T64, T64)>(running->function->entry);
    entry(P64(0), P64(64));
}

static void body() {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(nullptr, &scheduler_stack, &scheduler_size);
#endif
    call();
    current->state = Fiber::DONE;
    leave(true);
}

static void run_block(std::mt19937_64& random) {
    unsigned count = running->threads.x * running->threads.y * running->threads.z;
    if (fibers.size() < count) fibers.resize(count);
    std::vector<unsigned> order(count);
    for (unsigned number = 0; number < count; ++number) {
        Fiber& fiber = fibers[number];
        if (!fiber.stack) fiber.stack.reset(new char[STACK]);
        prepare(fiber);
        fiber.state = Fiber::READY;
        fiber.number = order[number] = number;
    }
    const char* name = running->function->name.c_str();
    while (true) {
        for (unsigned i = count; i > 1; --i) std::swap(order[i - 1], order[random() % i]);
        for (unsigned number : order) {
            if (fibers[number].state == Fiber::READY) enter(fibers[number]);
        }
        // Warps whose lanes have all met at a shuffle go on.
        bool moved = false;
        for (unsigned warp = 0; warp < count; warp += 32) {
            unsigned end = warp + 32 < count ? warp + 32 : count, waiting = 0;
            for (unsigned lane = warp; lane < end; ++lane) waiting += fibers[lane].state == Fiber::AT_SHUFFLE;
            if (waiting == 0) continue;
            if (waiting != end - warp) return fail("a shuffle that not all lanes of a warp reach", name);
            unsigned values[32];
            for (unsigned lane = warp; lane < end; ++lane) values[lane - warp] = fibers[warp + fibers[lane].wanted].passed;
            for (unsigned lane = warp; lane < end; ++lane) {
                fibers[lane].wanted = values[lane - warp];
                fibers[lane].state = Fiber::READY;
            }
            moved = true;
        }
        if (moved) continue;
        unsigned at_barrier = 0, done = 0;
        for (unsigned number = 0; number < count; ++number) {
            at_barrier += fibers[number].state == Fiber::AT_BARRIER;
            done += fibers[number].state == Fiber::DONE;
        }
        if (done == count) return;
        if (at_barrier != count) return fail("a barrier that not all threads of a block reach", name);
        for (unsigned number = 0; number < count; ++number) fibers[number].state = Fiber::READY;
    }
}

static bool within(uint64_t start, size_t bytes, const std::map<uint64_t, size_t>& blocks = allocations) {
    auto after = blocks.upper_bound(start);
    if (after == blocks.begin()) return false;
    auto block = std::prev(after);
    return start + bytes <= block->first + block->second;
}

// ---- counting

// What the lanes of a warp touch when they come to a place of the code for the nth time.
struct Request {
    std::set<uint64_t> sectors;
    size_t bytes = 0;
};
static std::set<uint64_t> bytes_read, bytes_written;
static std::map<std::tuple<unsigned, const void*, unsigned>, Request> requests;
static std::map<std::pair<unsigned, const void*>, unsigned> visits;
static size_t sectors, least_sectors;

static void access(const void* at, size_t bytes, bool write, const void* place) {
    uint64_t start = (uint64_t)at;
    if (!within(start, bytes)) return;
    unsigned thread = current->number, visit = visits[{thread, place}]++;
    Request& request = requests[{thread / 32, place, visit}];
    for (uint64_t byte = start; byte < start + bytes; ++byte) (write ? bytes_written : bytes_read).insert(byte);
    for (uint64_t sector = start / 32; sector <= (start + bytes - 1) / 32; ++sector) request.sectors.insert(sector);
    request.bytes += bytes;
}

static void block_is_counted() {
    for (auto& [_, request] : requests) {
        sectors += request.sectors.size();
        // Lanes that read the same are served at once.
        size_t least = (request.bytes + 31) / 32;
        least_sectors += least < request.sectors.size() ? least : request.sectors.size();
    }
    requests.clear();
    visits.clear();
}

static void launch_is_counted(const char* name) {
    const char* path = getenv("DGC_EMULATOR_COUNT");
    if (!path) return;
    FILE* file = fopen(path, "a");
    fprintf(file, "%s %zu %zu %zu %zu\n", name, bytes_read.size(), bytes_written.size(), sectors, least_sectors);
    fclose(file);
    bytes_read.clear();
    bytes_written.clear();
    sectors = least_sectors = 0;
}

static void execute(const Launch& launch) {
    static std::mt19937_64 random(setting("DGC_EMULATOR_SEED", 0));
    running = &launch;
    emulator.threads = launch.threads;
    emulator.blocks = launch.blocks;
    for (unsigned z = 0; z < launch.blocks.z; ++z) {
        for (unsigned y = 0; y < launch.blocks.y; ++y) {
            for (unsigned x = 0; x < launch.blocks.x; ++x) {
                if (failure != SUCCESS) return;
                emulator.block = {x, y, z};
                run_block(random);
                block_is_counted();
            }
        }
    }
    launch_is_counted(launch.function->name.c_str());
}

// ---- streams

// Work without a stream goes into this one. It does not wait for others, nor they for it.
static Stream legacy;

static int put(Stream* stream, std::function<void()> operation) {
    if (!stream) stream = &legacy;
    stream->waiting.push_back(std::move(operation));
    ++stream->put;
    return SUCCESS;
}

static void complete(Stream* stream, uint64_t count) {
    while (stream && stream->done < count) {
        std::function<void()> operation = std::move(stream->waiting.front());
        stream->waiting.pop_front();
        operation();
        ++stream->done;
    }
}

static void complete_all() {
    for (Stream* stream : streams) complete(stream, stream->put);
    complete(&legacy, legacy.put);
}

// ---- the driver's functions

extern "C" {

int cuInit(unsigned) { return SUCCESS; }
int cuDriverGetVersion(int* version) { return *version = 13000, SUCCESS; }
int cuDeviceGetCount(int* count) { return *count = (int)setting("DGC_EMULATOR_DEVICES", 1), SUCCESS; }
int cuDeviceGet(int* device, int number) { return *device = number, number == 0 ? SUCCESS : NO_DEVICE; }
int cuDeviceGetName(char* name, int len, int) { return snprintf(name, len, "emulated GPU"), SUCCESS; }
int cuDeviceTotalMem_v2(size_t* bytes, int) { return *bytes = setting("DGC_EMULATOR_MEMORY", size_t(8) << 30), SUCCESS; }
int cuDeviceGetAttribute(int* value, int which, int) {
    int arch = (int)setting("DGC_EMULATOR_ARCH", 90);
    *value = which == 75 ? arch / 10 : which == 76 ? arch % 10 : which == 16 ? 132 : 0;
    return SUCCESS;
}
int cuDevicePrimaryCtxRetain(void** context, int) { return ++contexts, *context = &emulator, SUCCESS; }
int cuDevicePrimaryCtxRelease_v2(int) {
    if (--contexts > 0) return SUCCESS;
    size_t memories = allocations.size() + pinned.size();
    if (memories + streams.size() + events + modules + graphs > 0) {
        fprintf(stderr, "emulated GPU: the context is released before %zu memories, %zu streams, %d events, %d modules, %d graphs\n", memories,
                streams.size(), events, modules, graphs);
        abort();
    }
    return SUCCESS;
}
int cuCtxSetCurrent(void*) { return SUCCESS; }

int cuStreamCreate(Stream** stream, unsigned) { return streams.push_back(*stream = new Stream), SUCCESS; }
int cuStreamSynchronize(Stream* stream) { return complete(stream, stream->put), failure; }
int cuStreamDestroy_v2(Stream* stream) {
    complete(stream, stream->put);
    streams.erase(std::find(streams.begin(), streams.end(), stream));
    return delete stream, SUCCESS;
}
int cuStreamWaitEvent(Stream* stream, Event* event, unsigned) {
    Event then = *event;
    return put(stream, [=] { complete(then.stream, then.after); });
}

int cuEventCreate(Event** event, unsigned) { return ++events, *event = new Event, SUCCESS; }
int cuEventDestroy_v2(Event* event) { return --events, delete event, SUCCESS; }
int cuEventRecord(Event* event, Stream* stream) { return event->stream = stream, event->after = stream->put, SUCCESS; }
int cuEventSynchronize(Event* event) { return complete(event->stream, event->after), failure; }
int cuEventQuery(Event* event) {
    static std::mt19937_64 random(setting("DGC_EMULATOR_SEED", 0) + 1);
    if (random() % 4 == 0) complete(event->stream, event->after);
    return !event->stream || event->stream->done >= event->after ? failure : NOT_READY;
}

int cuMemAlloc_v2(uint64_t* start, size_t bytes) {
    if (allocated + bytes > setting("DGC_EMULATOR_MEMORY", size_t(8) << 30)) return OUT_OF_MEMORY;
    // Fresh memory of a GPU holds anything.
    void* memory = aligned_alloc(256, (bytes + 255) / 256 * 256);
    memset(memory, 0xFF, bytes);
    *start = (uint64_t)memory;
    allocations[*start] = bytes;
    allocated += bytes;
    return SUCCESS;
}
int cuMemGetInfo_v2(size_t* free, size_t* total) {
    *total = setting("DGC_EMULATOR_MEMORY", size_t(8) << 30);
    return *free = setting("DGC_EMULATOR_FREE", *total - allocated), SUCCESS;
}
int cuMemHostAlloc(void** start, size_t bytes, unsigned) {
    *start = aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
    pinned[(uint64_t)*start] = bytes;
    return SUCCESS;
}
int cuMemFreeHost(void* start) {
    complete_all();
    pinned.erase((uint64_t)start);
    return free(start), SUCCESS;
}
int cuMemFree_v2(uint64_t start) {
    complete_all();
    auto found = allocations.find(start);
    if (found == allocations.end()) return INVALID_VALUE;
    allocated -= found->second;
    allocations.erase(found);
    free((void*)start);
    return SUCCESS;
}
int cuMemsetD8Async(uint64_t start, unsigned char value, size_t bytes, Stream* stream) {
    if (!within(start, bytes)) return INVALID_VALUE;
    return put(stream, [=] { memset((void*)start, value, bytes); });
}
int cuMemsetD8_v2(uint64_t start, unsigned char value, size_t bytes) { return cuMemsetD8Async(start, value, bytes, nullptr); }
int cuMemcpyHtoDAsync_v2(uint64_t to, const void* from, size_t bytes, Stream* stream) {
    if (failure != SUCCESS) return failure;
    if (!within(to, bytes)) return INVALID_VALUE;
    if (within((uint64_t)from, bytes, pinned)) return put(stream, [=] { memcpy((void*)to, from, bytes); });
    // The driver keeps a copy of memory that is not pinned.
    std::vector<char> kept((const char*)from, (const char*)from + bytes);
    return put(stream, [=] { memcpy((void*)to, kept.data(), bytes); });
}
int cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t bytes, Stream* stream) {
    if (failure != SUCCESS) return failure;
    if (!within(to, bytes) || !within(from, bytes)) return INVALID_VALUE;
    return put(stream, [=] { memcpy((void*)to, (const void*)from, bytes); });
}
int cuMemcpyDtoHAsync_v2(void* to, uint64_t from, size_t bytes, Stream* stream) {
    if (failure != SUCCESS) return failure;
    if (!within(from, bytes)) return INVALID_VALUE;
    put(stream, [=] { memcpy(to, (const void*)from, bytes); });
    // Of memory that is not pinned, the driver waits for the copy.
    if (!within((uint64_t)to, bytes, pinned)) complete(stream, stream->put);
    return failure;
}

int cuModuleLoadData(Module** module, const void* image) {
    // The length stands in the library's own header: sections end the file.
    const unsigned char* bytes = (const unsigned char*)image;
    if (memcmp(bytes, "\177ELF", 4) != 0) return INVALID_IMAGE;
    uint64_t sections;
    uint16_t size, count;
    memcpy(&sections, bytes + 40, 8);
    memcpy(&size, bytes + 58, 2);
    memcpy(&count, bytes + 60, 2);
    size_t len = sections + (size_t)size * count;
    int file = memfd_create("module", 0);
    if (file < 0 || write(file, bytes, len) != (ssize_t)len) return INVALID_IMAGE;
    std::string path = "/proc/self/fd/" + std::to_string(file);
    void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        fprintf(stderr, "emulated GPU: %s\n", dlerror());
        return INVALID_IMAGE;
    }
    emulator.barrier = barrier;
    emulator.shuffle = shuffle;
    emulator.access = access;
    *(Emulator**)dlsym(library, "emulator") = &emulator;
    *module = new Module{library, file, {}};
    ++modules;
    return SUCCESS;
}
int cuModuleUnload(Module* module) {
    complete_all();
    dlclose(module->library);
    close(module->file);
    return --modules, delete module, SUCCESS;
}
int cuModuleGetFunction(Function** function, Module* module, const char* name) {
    void* entry = dlsym(module->library, name);
    void* parameters = dlsym(module->library, (std::string("parameters_of_") + name).c_str());
    const char* missing = getenv("DGC_EMULATOR_MISSING");
    if (!entry || !parameters || (missing && strcmp(missing, name) == 0)) return NOT_FOUND;
    module->functions.emplace_back(new Function{name, entry, *(const int*)parameters});
    *function = module->functions.back().get();
    return SUCCESS;
}

int cuLaunchKernel(Function* function, unsigned bx, unsigned by, unsigned bz, unsigned tx, unsigned ty, unsigned tz, unsigned,
                   Stream* stream, void** parameters, void**) {
    if (failure != SUCCESS) return failure;
    if (function->parameters > 128 || tx * ty * tz > 1024 || bx == 0 || by == 0 || by > 65535) return INVALID_VALUE;
    Launch launch{function, {bx, by, bz}, {tx, ty, tz}, std::vector<uint64_t>(128, 0)};
    for (int i = 0; i < function->parameters; ++i) launch.arguments[i] = *(uint64_t*)parameters[i];
    const char* broken = getenv("DGC_EMULATOR_FAILING");
    if (broken && function->name == broken) return LAUNCH_FAILED;
    if (stream && stream->capture) {
        stream->capture->launches.push_back(launch);
        return SUCCESS;
    }
    return put(stream, [=] { execute(launch); });
}

int cuStreamBeginCapture_v2(Stream* stream, int) { return ++graphs, stream->capture = new Graph, SUCCESS; }
int cuStreamEndCapture(Stream* stream, Graph** graph) {
    *graph = stream->capture;
    stream->capture = nullptr;
    return SUCCESS;
}
int cuGraphInstantiateWithFlags(Graph** made, Graph* graph, unsigned long long) {
    return ++graphs, *made = new Graph(*graph), SUCCESS;
}
int cuGraphDestroy(Graph* graph) { return --graphs, delete graph, SUCCESS; }
int cuGraphExecDestroy(Graph* graph) { return --graphs, delete graph, SUCCESS; }
int cuGraphLaunch(Graph* graph, Stream* stream) {
    return put(stream, [=] {
        for (const Launch& launch : graph->launches) execute(launch);
    });
}

int cuGetErrorString(int code, const char** text) {
    *text = code == OUT_OF_MEMORY   ? "out of memory"
            : code == NOT_FOUND     ? "named symbol not found"
            : code == LAUNCH_FAILED ? "unspecified launch failure"
            : code == INVALID_IMAGE ? "device kernel image is invalid"
            : code == INVALID_VALUE ? "invalid argument"
            : code == NOT_READY     ? "device not ready"
                                    : "no error";
    return SUCCESS;
}
int cuGetErrorName(int code, const char** text) { return cuGetErrorString(code, text); }
}
