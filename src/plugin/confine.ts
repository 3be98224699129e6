import { endBeforeOthers } from "./end-before-others.ts";
import { giveUpPrivileges, replaceProgram } from "./give-up-privileges.ts";
import { landlockVersion, restrictFiles } from "./landlock.ts";
import { keepOnExec } from "./libc.ts";
import { placesFor } from "./places.ts";
import { setLimit } from "./protect-memory.ts";
import { filterSystemCalls } from "./seccomp.ts";

/**
 * The program that a child runs first. It restricts itself and then becomes the program that it is for, in the same
 * process: some restrictions hold only for the thread that asks and for what it starts, and Node begins with several
 * threads; the program that follows has them in all of its own.
 *
 * It is started with `sandboxArguments`, and imports little, because it is waited for at every start of a service.
 */

/** Far above anything a plugin has to write, far below a disk. */
const MAX_FILE_BYTES = 2 ** 30;

const [descriptors, gpus, program, ...words] = process.argv.slice(2);
endBeforeOthers();
setLimit("coreBytes", 0);
setLimit("fileBytes", MAX_FILE_BYTES);
giveUpPrivileges();
filterSystemCalls("io_uring");
if (landlockVersion() > 0) restrictFiles(placesFor(process.env.HOME!, gpus === "gpus"));
for (let fd = 0; fd < Number(descriptors); fd++) keepOnExec(fd);
replaceProgram(process.execPath, [...process.execArgv, program!, ...words]);
