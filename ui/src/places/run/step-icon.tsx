import { AppWindow, CircleCheckBig, Flag, Keyboard, ListChecks, MessageCircleQuestion, MousePointerClick, PencilLine, Plug, ScanEye, SquareTerminal, Wrench } from 'lucide-react';
import type { StepKind } from '@/story/step';

const ICONS: Record<StepKind, typeof Wrench> = {
  command: SquareTerminal,
  edit: PencilLine,
  look: ScanEye,
  pointer: MousePointerClick,
  keyboard: Keyboard,
  browser: AppWindow,
  plan: ListChecks,
  evidence: CircleCheckBig,
  ask: MessageCircleQuestion,
  finish: Flag,
  server: Plug,
  other: Wrench,
};

export function StepIcon({ kind, className = 'size-3.5' }: { kind: StepKind; className?: string }) {
  const Icon = ICONS[kind];
  return <Icon aria-hidden className={`${className} shrink-0 stroke-[1.7]`} />;
}
