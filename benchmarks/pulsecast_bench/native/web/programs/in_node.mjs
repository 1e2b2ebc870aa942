// The engine in a process of Node: a message a line of stdin, an answer a line of stdout; it ends with stdin.
import { createInterface } from 'node:readline';
import { answer } from './engine.mjs';

for await (const message of createInterface({ input: process.stdin })) process.stdout.write(`${await answer(message)}\n`);
