// What crosses the API, by the names the interface uses. All of it is generated from the owner's own types.
import type { components, paths } from '@/api/schema';

type Schemas = components['schemas'];

export type ApprovalPolicy = Schemas['ApprovalPolicy'];
export type Artifact = Schemas['ArtifactId'];
export type ChangedFile = Schemas['ChangedFile'];
export type ChangedFiles = Schemas['ChangedFiles'];
export type Check = Schemas['Check'];
export type DoctorReport = Schemas['DoctorReport'];
export type ErrorCode = Schemas['ErrorCode'];
export type RunEvent = Schemas['Event'];
export type Evidence = Schemas['Evidence'];
export type DecideApproval = Schemas['DecideApproval'];
export type EngineActionKind = Schemas['EngineActionKind'];
export type EngineList = Schemas['EngineList'];
export type EngineSummary = Schemas['EngineSummary'];
export type SelfReview = Schemas['SelfReview'];
export type CriterionVerdict = Schemas['CriterionVerdict'];
export type ForkReply = Schemas['ForkReply'];
export type ForkRun = Schemas['ForkRun'];
export type Image = Schemas['Image'];
export type IntendedWrite = Schemas['IntendedWrite'];
export type Limits = Schemas['Limits'];
export type Live = Schemas['Live'];
export type MessageDelivery = Schemas['MessageDelivery'];
export type CheckpointSummary = Schemas['CheckpointSummary'];
export type MergeReply = Schemas['MergeReply'];
export type Plan = Schemas['Plan'];
export type PlanStepState = Schemas['PlanStepState'];
export type PullRequestDetail = Schemas['PullRequestDetail'];
export type ReviewEntry = Schemas['ReviewEntry'];
export type ReviewQueue = Schemas['ReviewQueue'];
export type Statistics = Schemas['Statistics'];
export type StatisticsBy = Schemas['StatisticsBy'];
export type StatisticsRow = Schemas['StatisticsRow'];
export type ReviewRemark = Schemas['ReviewRemark'];
export type NewComment = Schemas['NewComment'];
export type AskForChanges = Schemas['AskForChanges'];
export type PullRequestSummary = Schemas['PullRequestSummary'];
export type ResultPart = Schemas['ResultPart'];
export type RunDetail = Schemas['RunDetail'];
export type RunList = Schemas['RunList'];
export type RunState = Schemas['RunState'];
export type RunSummary = Schemas['RunSummary'];
export type SubmitReply = Schemas['SubmitReply'];
export type SubmitTask = Schemas['SubmitTask'];
export type Task = Schemas['Task'];
export type Tree = Schemas['Tree'];
export type Usage = Schemas['Usage'];
export type UserError = Schemas['UserError'];

export type ChangeSettings = Schemas['ChangeSettings'];
export type HostSetting = Schemas['HostSetting'];
export type KeySummary = Schemas['KeySummary'];
export type ModelList = Schemas['ModelList'];
export type Restarting = Schemas['Restarting'];
export type Settings = Schemas['Settings'];
export type SettingsValues = Schemas['SettingsValues'];

export type ExampleTask = Schemas['ExampleTask'];
export type AgentFinding = Schemas['AgentFinding'];
export type AgentFound = Schemas['AgentFound'];
export type AgentsFound = Schemas['AgentsFound'];
export type EnvironmentLog = Schemas['EnvironmentLog'];
export type EnvironmentSummary = Schemas['EnvironmentSummary'];
export type PlannedEnvironment = Schemas['PlannedEnvironment'];
export type SetUpEnvironment = Schemas['SetUpEnvironment'];

export type Overview = Schemas['Overview'];
export type RunChanged = Schemas['RunChanged'];
export type SearchHit = Schemas['SearchHit'];
export type SearchReply = Schemas['SearchReply'];

export type StateName = RunState['type'];
export type Paths = paths;
