import { Place } from '@/components/place';
import { FirstSteps } from './first-steps';

export function Welcome() {
  return (
    <Place title="Welcome" name="Welcome">
      <FirstSteps />
    </Place>
  );
}
